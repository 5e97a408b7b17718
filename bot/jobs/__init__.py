"""One request, from asking to answer."""
