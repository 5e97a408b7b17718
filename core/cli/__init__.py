"""`genregenie classify`."""
