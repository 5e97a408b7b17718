"""One feature of the bot a file."""
