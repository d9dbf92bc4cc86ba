"""The connection: how the bot stays connected to Discord."""
