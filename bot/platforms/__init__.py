"""Where Mockingbird speaks; the platforms never import each other."""
