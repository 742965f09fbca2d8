"""How an adapter is trained: one frozen record, and the presets."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """LoRA on the query and value projections, AdamW, linear warm-up and cosine decay to zero."""

    rank: int = 16
    alpha: int = 32  # LoRA's output is scaled by alpha / rank
    dropout: float = 0.0
    learning_rate: float = 2e-4
    warmup: float = 0.1  # share of all steps
    epochs: int = 2
    pairs_per_step: int = 16
    validation: float = 0.05  # share of the pairs held out
    validate_every: int = 10  # steps
    clip: float = 1.0  # largest norm of the gradient
    tokens_per_batch: int = 4096  # padded tokens that run at once; memory changes with it, results do not


PRESETS = {
    # One or two minutes of data on a laptop: a higher rate, fewer passes.
    "laptop": Recipe(),
    # arXiv 2405.13816: learning rate 5e-5, cosine, 10% warm-up, 3 epochs, batch 4 x 4 accumulated, validation 5%.
    "paper": Recipe(rank=8, alpha=16, learning_rate=5e-5, epochs=3, validate_every=100),
}
