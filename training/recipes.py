"""How each kind of model is trained."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import keras

from training import networks
from training.data.augment import AugmentConfig


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
        augment: augmentation of random crops, on the fly; None trains on the segments as they are.
        learning_rate: of Adam; with augmentation, the peak of the cosine schedule.
        ema_momentum: of the exponential moving average of the weights, which is what is kept with augmentation.
    """

    network: Callable[[], keras.Model]
    epochs: int
    patience: int | None
    batch_size: int
    stretched: bool = False
    augment: AugmentConfig | None = None
    learning_rate: float = 1e-3
    ema_momentum: float = 0.995


_GENIE: Final = TrainConfig(
    networks.genie_network, epochs=48, patience=None, batch_size=32, augment=AugmentConfig(), learning_rate=2e-3
)

RECIPES: Final[dict[str, tuple[TrainConfig, ...]]] = {
    "plain": (TrainConfig(networks.study_cnn, epochs=8, patience=3, batch_size=32, learning_rate=2e-4),),
    "augmented": (
        TrainConfig(networks.study_cnn, epochs=3, patience=2, batch_size=32, stretched=True, learning_rate=2e-4),
    ),
    "genie": (_GENIE, replace(_GENIE, augment=AugmentConfig(dynamics=1.5, style=0.8))),
}
"""One network per recipe; the probabilities of several networks are averaged (`networks.averaged`)."""

FINETUNE: Final = tuple(replace(recipe, epochs=8, learning_rate=1e-3) for recipe in RECIPES["genie"])
"""How the shipped genie is fine-tuned on all tracks without known faults, from the held-out model's weights."""
