"""Discord in, Discord out: the bot that people host themselves."""
