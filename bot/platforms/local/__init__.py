"""The platform that needs nobody else: a feed in the store, shown on the terminal."""
