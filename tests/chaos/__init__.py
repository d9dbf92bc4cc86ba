"""Chaos: scenarios in which everything goes wrong that may, each with an oracle (`make chaos`)."""
