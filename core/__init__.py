"""Audio in, verdict out: the part that every face of GenreGenie calls."""
