"""Training: question-translation pairs -> masked batches -> LoRA adapter."""

from .checkpoint import Progress
from .loop import train, training_inputs
from .recipe import PRESETS, Recipe

__all__ = ["PRESETS", "Progress", "Recipe", "train", "training_inputs"]
