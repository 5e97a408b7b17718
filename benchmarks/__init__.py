"""Figures that anyone can measure again: `python -m benchmarks.speed`, `.burst` and `.soak`."""
