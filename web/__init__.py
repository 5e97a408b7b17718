"""The page: drop, record or link a song, and see and hear what the models make of it."""
