"""How the study's networks are trained. Genie's recipe is in `distillation`."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import keras

from training import networks


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained.

    Attributes:
        network: builds it.
        epochs: how many at most.
        patience: epochs without a better validation accuracy after which training stops and the best epoch's weights
            are kept; None trains all epochs and keeps the last weights.
        batch_size: segments per step.
        stretched: whether time-stretched copies of the training segments are added, as in the study.
        learning_rate: of Adam.
    """

    network: Callable[[], keras.Model]
    epochs: int
    patience: int | None
    batch_size: int
    stretched: bool = False
    learning_rate: float = 1e-3


_PLAIN: Final = TrainConfig(networks.study_cnn, epochs=60, patience=8, batch_size=32, learning_rate=2e-4)

RECIPES: Final[dict[str, TrainConfig]] = {"plain": _PLAIN, "augmented": replace(_PLAIN, stretched=True)}
