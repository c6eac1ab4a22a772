"""The embedded store: one SQLite file, the position given in the append's own transaction."""
