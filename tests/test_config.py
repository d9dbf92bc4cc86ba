"""The configuration is read from one file and from variables, and every mistake in it is one helpful sentence."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError

from bot.config import Config, load_config, secret
from bot.errors import BadConfig

ROOT = Path(__file__).parents[1]
DEFAULTS: dict[str, dict[str, Any]] = Config().model_dump()
SETTINGS = [(section, key) for section, settings in DEFAULTS.items() for key in settings]


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "config.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def complaint(folder: Path, text: str | bytes, **environ: str) -> str:
    with pytest.raises(BadConfig) as caught:
        load_config(written(folder, text), environ)
    return str(caught.value)


# --- The file that is shipped -----------------------------------------------------------------------------------------


def test_the_shipped_file_holds_every_setting_with_its_default() -> None:
    shipped = tomllib.loads((ROOT / "config.toml").read_text("utf-8"))
    assert shipped == DEFAULTS
    assert load_config(ROOT / "config.toml", {}) == Config()


def test_every_setting_of_the_shipped_file_has_a_comment() -> None:
    lines = (ROOT / "config.toml").read_text("utf-8").splitlines()
    setting_lines = [line for line in lines if line and not line.startswith(("#", "["))]
    assert len(setting_lines) == len(SETTINGS)
    assert [line for line in setting_lines if len(line.partition(" # ")[2].strip()) < 10] == []


def test_every_setting_can_say_what_it_expects() -> None:
    for kind in (field.annotation for field in Config.model_fields.values()):
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        assert [key for key, field in kind.model_fields.items() if not field.description] == []


# --- Where it is read from --------------------------------------------------------------------------------------------


def test_without_any_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}) == Config()


def test_the_file_in_the_current_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, "[sampling]\ntop_k = 7")
    monkeypatch.chdir(tmp_path)
    assert load_config(None, {}).sampling.top_k == 7


def test_the_given_path_wins_over_the_variable_and_the_variable_over_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path, "[sampling]\ntop_k = 1")
    named, given_path = tmp_path / "named.toml", tmp_path / "given.toml"
    named.write_text("[sampling]\ntop_k = 2")
    given_path.write_text("[sampling]\ntop_k = 3")
    monkeypatch.chdir(tmp_path)
    environ = {"MOCKINGBIRD_CONFIG": str(named)}
    assert load_config(None, environ).sampling.top_k == 2
    assert load_config(given_path, environ).sampling.top_k == 3


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, b"\xef\xbb\xbf[sampling]\ntop_k = 7"), {}).sampling.top_k == 7


def test_a_variable_overrides_one_setting_and_leaves_its_neighbours(tmp_path: Path) -> None:
    file = written(tmp_path, "[sampling]\ntop_k = 7\ntop_p = 0.5")
    config = load_config(file, {"MOCKINGBIRD__SAMPLING__TOP_P": "0.25", "PATH": "/bin"})
    assert (config.sampling.top_k, config.sampling.top_p) == (7, 0.25)


@pytest.mark.parametrize(
    ("variable", "text", "section", "key", "value"),
    [
        ("MOCKINGBIRD__POOL__MAX_WAITING", " 12 ", "pool", "max_waiting", 12),
        ("MOCKINGBIRD__POOL__HANG_SECONDS", "12", "pool", "hang_seconds", 12.0),
        ("MOCKINGBIRD__MODERATION__ALLOW_LINKS", "True", "moderation", "allow_links", True),
        ("MOCKINGBIRD__MODERATION__ALLOW_LINKS", "off", "moderation", "allow_links", False),
        ("MOCKINGBIRD__MODEL__DEVICE", "cuda", "model", "device", "cuda"),
        ("MOCKINGBIRD__MODEL__BASE", "123", "model", "base", "123"),
    ],
)
def test_a_variable_s_text_becomes_the_setting_s_type(
    tmp_path: Path, variable: str, text: str, section: str, key: str, value: object
) -> None:
    found = load_config(written(tmp_path, ""), {variable: text}).model_dump()[section][key]
    assert found == value
    assert type(found) is type(value)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().sampling.top_k = 3


def test_the_module_imports_nothing_heavy() -> None:
    code = "import sys, bot.config; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True, text=True)
    loaded = set(done.stdout.split())
    assert "pydantic" in loaded
    assert loaded & {"aiohttp", "apscheduler", "numpy", "onnxruntime", "rich", "sqlite_utils", "torch"} == set()


# --- Mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[smapling]\ntop_p = 1", ("[smapling]", "did you mean sampling?")),
        ("[qqq]", ("[qqq]", ", ".join(DEFAULTS))),
        ("[sampling]\ntopp = 1", ("sampling.topp", "did you mean top_p?")),
        ("[sampling]\nqqq = 1", ("sampling.qqq", "temperature, top_p, top_k, max_tokens, tries, candidates")),
        ("[model]\ntop_p = 1", ("model.top_p", "did you mean sampling.top_p?")),
        ("top_p = 1", ("top_p", "did you mean sampling.top_p?")),
        ("sampling = 3", ("write [sampling]",)),
    ],
)
def test_an_unknown_name_is_told_with_the_nearest_known_one_or_the_list(
    tmp_path: Path, text: str, names: tuple[str, ...]
) -> None:
    said = complaint(tmp_path, text)
    assert [name for name in names if name not in said] == []
    assert said.startswith(f"{tmp_path}/config.toml: ")


@pytest.mark.parametrize(
    ("section", "line", "value"),
    [
        ("sampling", "temperature = 0", "0"),
        ("sampling", "temperature = nan", "nan"),
        ("sampling", "temperature = inf", "inf"),
        ("sampling", "top_p = 1.01", "1.01"),
        ("sampling", "top_p = 0", "0"),
        ("sampling", "top_k = -1", "-1"),
        ("sampling", "top_k = true", "True"),
        ("sampling", "max_tokens = 1.5", "1.5"),
        ("sampling", 'tries = "4"', "'4'"),
        ("model", 'device = "tpu"', "'tpu'"),
        ("model", 'base = ""', "''"),
        ("model", "max_batch = 0", "0"),
        ("model", "threads = 2020-01-01", "datetime.date(2020, 1, 1)"),
        ("training", 'recipe = "slow"', "'slow'"),
        ("moderation", "allow_links = 1", "1"),
        ("moderation", "max_length = 0", "0"),
        ("pool", "hang_seconds = 0", "0"),
        ("schedule", "max_late_minutes = []", "[]"),
        ("schedule", "max_late_minutes = 0", "0"),
    ],
)
def test_a_refused_value_is_told_with_its_setting_and_what_is_expected(
    tmp_path: Path, section: str, line: str, value: str
) -> None:
    key = line.partition(" ")[0]
    field: Any = getattr(Config(), section).__class__.model_fields[key]
    said = complaint(tmp_path, f"[{section}]\n{line}")
    assert said.endswith(f": {section}.{key} is {value} but must be {field.description}.")


@pytest.mark.parametrize(
    ("variable", "text", "part"),
    [
        ("MOCKINGBIRD__SAMPLING__TOP_P", "most", "sampling.top_p is 'most' but must be a number above 0"),
        ("MOCKINGBIRD__SAMPLING__TOP_K", "1.5", "sampling.top_k is '1.5'"),
        ("MOCKINGBIRD__MODERATION__ALLOW_LINKS", "perhaps", "must be true or false"),
        ("MOCKINGBIRD__SAMPLING__TOPP", "1", "did you mean top_p?"),
        ("MOCKINGBIRD__SAMPLNG__TOP_P", "1", "did you mean sampling?"),
        ("MOCKINGBIRD__SAMPLING", "1", "MOCKINGBIRD__SECTION__KEY"),
        ("MOCKINGBIRD__", "1", "MOCKINGBIRD__SECTION__KEY"),
    ],
)
def test_a_wrong_variable_is_named_instead_of_the_file(tmp_path: Path, variable: str, text: str, part: str) -> None:
    said = complaint(tmp_path, "", **{variable: text})
    assert said.startswith(f"{variable}: ")
    assert part in said


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb =\n", "line 2"), ("a = 1\n\n[b\n", "line 3"), ("a = 1\na = 2", "line 2")]
)
def test_broken_toml_is_told_with_its_line(tmp_path: Path, text: str, line: str) -> None:
    said = complaint(tmp_path, text)
    assert "not valid TOML" in said
    assert line in said


def test_a_file_that_is_not_utf8_is_told_with_its_line(tmp_path: Path) -> None:
    said = complaint(tmp_path, b'[model]\nbase = "caf\xe9"')
    assert "not UTF-8" in said
    assert "line 2" in said


@pytest.mark.parametrize("path", ["nowhere.toml", "."])
def test_a_missing_file_or_a_folder_is_an_error_not_the_defaults(tmp_path: Path, path: str) -> None:
    with pytest.raises(BadConfig, match="cannot be read"):
        load_config(tmp_path / path, {})
    with pytest.raises(BadConfig, match="cannot be read"):
        load_config(None, {"MOCKINGBIRD_CONFIG": str(tmp_path / path)})


@given(
    content=st.one_of(
        st.text(), st.binary(), st.from_regex(r"(\[?[a-z_.]{1,9}\]?( = [-0-9a-z\"\[\]{}.:]{1,9})?\n){0,5}")
    )
)
def test_any_file_gives_a_configuration_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    encoded = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    file = written(tmp_path_factory.getbasetemp(), encoded)
    try:
        outcome = repr(load_config(file, {}))
    except BadConfig as error:
        outcome = str(error)
    assert re.fullmatch(r"Config\(.*\)|.*/config\.toml: .*\.", outcome)


# --- Secrets ----------------------------------------------------------------------------------------------------------

SECRET = "hf_thisMustNeverBeShown"


@pytest.mark.parametrize(
    "text",
    [
        f'[hub]\ntoken = "{SECRET}"',
        f'discord_token = "{SECRET}"',
        f'[x]\nApiKey = "{SECRET}"',
        f'[[x.y]]\nclient_secret = "{SECRET}"',
        f'[hub]\npassword = "{SECRET}"',
    ],
)
def test_a_secret_in_the_file_is_refused_with_advice_and_not_repeated(tmp_path: Path, text: str) -> None:
    said = complaint(tmp_path, text)
    assert 'write `token_env = "NAME"` instead' in said
    assert SECRET not in said


def test_a_secret_in_a_variable_of_ours_is_refused_and_not_repeated(tmp_path: Path) -> None:
    said = complaint(tmp_path, "", MOCKINGBIRD__HUB__TOKEN=SECRET)
    assert "token_env" in said
    assert SECRET not in said


def test_a_secret_in_place_of_its_variable_s_name_is_refused_and_not_repeated(tmp_path: Path) -> None:
    said = complaint(tmp_path, f'[hub]\ntoken_env = "{SECRET}"')
    assert "hub.token_env" in said
    assert SECRET not in said


def revealed(found: SecretStr | None) -> str | None:
    return None if found is None else found.get_secret_value()


def test_a_secret_comes_from_its_variable_or_from_the_file_that_a_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from a file\n")
    assert revealed(secret("TOKEN", {"TOKEN": " from a variable\n"})) == "from a variable"
    assert revealed(secret("TOKEN", {"TOKEN_FILE": str(file)})) == "from a file"
    assert revealed(secret("TOKEN", {"TOKEN": "", "TOKEN_FILE": str(file)})) == "from a file"
    assert secret("TOKEN", {"OTHER": "x"}) is None


def test_a_secret_does_not_show_itself() -> None:
    found = secret("TOKEN", {"TOKEN": SECRET})
    assert revealed(found) == SECRET
    assert SECRET not in f"{found} {found!r}"


def test_a_secret_s_file_that_is_missing_or_empty_is_an_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text(" \n")
    with pytest.raises(BadConfig, match=r"TOKEN_FILE: the file .*nowhere.* cannot be read"):
        secret("TOKEN", {"TOKEN_FILE": str(tmp_path / "nowhere")})
    with pytest.raises(BadConfig, match="is empty"):
        secret("TOKEN", {"TOKEN_FILE": str(empty)})
