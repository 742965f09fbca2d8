"""Training: question-translation pairs -> masked batches -> LoRA adapter."""

from .checkpoint import CurvePoint
from .loop import train, training_inputs
from .recipe import PRESETS, Recipe

__all__ = ["PRESETS", "CurvePoint", "Recipe", "train", "training_inputs"]
