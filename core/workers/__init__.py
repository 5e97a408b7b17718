"""The pipeline on a pool of processes."""
