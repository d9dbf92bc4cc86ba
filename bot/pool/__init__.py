"""Who feeds, watches and revives the children that own torch."""
