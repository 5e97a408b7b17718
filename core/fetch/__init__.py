"""Source → local file, fetched through a proxy that reaches only the public internet."""
