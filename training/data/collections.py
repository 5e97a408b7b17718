"""Which collection a path holds."""

from pathlib import Path

from training.data import fma, gtzan
from training.data.gtzan import Gtzan


def load(path: Path) -> Gtzan:
    """Read GTZAN (an archive or a folder) or FMA (a folder with `fma_metadata/`), as `gtzan.load` and `fma.load` do."""
    return fma.load(path) if fma.is_fma(path) else gtzan.load(path)
