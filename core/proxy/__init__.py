"""The guarded way out: a forward proxy on loopback that everything is fetched through."""
