"""One request, from asking to answer; knows nothing of how Discord shows it."""
