"""The program's version: here, and nowhere else."""

from typing import Final

VERSION: Final = "0.2.0"
