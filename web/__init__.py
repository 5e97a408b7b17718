"""The web page: upload, record or link a song, and see how the models classify it."""
