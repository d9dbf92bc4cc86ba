"""The inference engine, a child process that owns the device: `python -P -m models.engine`."""
