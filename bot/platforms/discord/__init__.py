"""Discord: commands, replies and posts."""
