"""Measurements of the whole: how well Mockingbird does what it is for, beside what others use for it."""
