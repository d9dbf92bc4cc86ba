"""Where Discord is, and with which token, is what the settings say."""

from pathlib import Path

import discord
import discord.gateway
import discord.http
import pytest

from bot.config import DiscordSettings, load_config
from bot.errors import BadConfig
from bot.platforms.discord.connection.client import intents
from bot.platforms.discord.connection.connection import API, GATEWAY, point_at, read_token


def test_clients_go_where_the_settings_say_and_else_to_discord_itself() -> None:
    point_at(DiscordSettings(api_base="http://127.0.0.1:1/api/v10/", gateway_url="ws://127.0.0.1:1/gateway/"))
    assert discord.http.Route("GET", "/users/@me").url == "http://127.0.0.1:1/api/v10/users/@me"
    assert str(discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY) == "ws://127.0.0.1:1/gateway/"
    point_at(DiscordSettings())
    assert discord.http.Route.BASE == API
    assert discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY == GATEWAY
    assert (API, str(GATEWAY)) == ("https://discord.com/api/v10", "wss://gateway.discord.gg/")


@pytest.mark.parametrize("setting", ["API_BASE=discord.com/api", "API_BASE=ws://a", "GATEWAY_URL=https://a"])
def test_an_address_of_another_kind_is_refused(setting: str) -> None:
    name, _, value = setting.partition("=")
    with pytest.raises(BadConfig, match="an address that begins with"):
        load_config(None, {f"MOCKINGBIRD__DISCORD__{name}": value})


def test_a_token_file_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    settings, file = DiscordSettings(), tmp_path / "token"
    assert read_token(settings, {}) is None
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        assert read_token(settings, {"DISCORD_TOKEN_FILE": str(file)}) == token
    file.unlink()
    with pytest.raises(BadConfig):
        read_token(settings, {"DISCORD_TOKEN_FILE": str(file)})


def test_no_intent_needs_to_be_allowed_unless_message_content_is_wanted() -> None:
    privileged = discord.Intents(members=True, presences=True, message_content=True).value
    assert intents(DiscordSettings()).value & privileged == 0
    wanted = intents(DiscordSettings(message_content=True)).value & privileged
    assert wanted == discord.Intents(message_content=True).value
