"""What Discord shows: messages, embeds, buttons."""
