"""Preview: the picture of a persona and of something that it said, for the card and the share page."""

from training.preview.fonts import system_fonts
from training.preview.picture import HEIGHT, WIDTH, Person, draw

__all__ = ["HEIGHT", "WIDTH", "Person", "draw", "system_fonts"]
