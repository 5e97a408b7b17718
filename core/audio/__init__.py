"""A file → samples → log-mel → the main section."""
