"""Source → local file: the guarded way out, and what is fetched through it."""
