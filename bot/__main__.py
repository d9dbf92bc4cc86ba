"""`python -m bot` is `mockingbird`."""

from bot.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
