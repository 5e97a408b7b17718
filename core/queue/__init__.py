"""Requests answered by other machines: Procrastinate on PostgreSQL. Imported only where a queue is set up."""
