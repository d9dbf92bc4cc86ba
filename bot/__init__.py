"""The application: one process, one event loop, no torch."""
