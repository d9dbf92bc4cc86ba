"""The web layer: what can be asked of a running bot, as JSON over HTTP on a Unix socket."""
