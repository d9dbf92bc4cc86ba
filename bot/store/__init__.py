"""SQLite, written by one thread; a module here is a table or two, and its functions run inside one transaction."""
