"""File → samples → log-mel → main section."""
