"""The training engine, a child process that does one run and exits: `python -P -m training.engine`."""
