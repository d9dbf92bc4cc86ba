"""How a timeline becomes a voice: readers, cleaning, recipes, runs; torch lives only in `training.engine`."""
