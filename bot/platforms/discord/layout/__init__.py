"""Layout: how what we show is laid out, in components v2. Every text from outside goes through `texts`."""
