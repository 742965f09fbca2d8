"""How an adapter is trained: one frozen record, and the presets."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from ..display import Displayed

Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Recipe(Displayed):
    """LoRA on the query and value projections, AdamW, linear warm-up and cosine decay to zero."""

    rank: Count = 16
    alpha: Count = 32  # LoRA's output is scaled by alpha / rank
    dropout: Share = 0.0
    learning_rate: Annotated[float, Field(ge=0)] = 2e-4  # 0 changes nothing: a control of the whole experiment
    warmup: Share = 0.1  # share of all steps
    epochs: Count = 2
    pairs_per_step: Count = 16
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.05  # share of the pairs held out
    validate_every: Count = 10  # steps
    clip: Positive = 1.0  # largest norm of the gradient
    tokens_per_batch: Count = 4096  # padded tokens that run at once; memory changes with it, results do not


PRESETS = {
    # One or two minutes of data on a laptop: a higher rate, fewer passes.
    "laptop": Recipe(),
    # arXiv 2405.13816: learning rate 5e-5, cosine, 10% warm-up, 3 epochs, batch 4 x 4 accumulated, validation 5%.
    "paper": Recipe(rank=8, alpha=16, learning_rate=5e-5, epochs=3, validate_every=100),
}
