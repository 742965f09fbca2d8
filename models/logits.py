"""From states to logits: the cap that some families put on them, and what makes them probabilities."""

from typing import TYPE_CHECKING, Any

from ..exponential import exponential_

if TYPE_CHECKING:
    import torch

_ROWS = 4  # whose exponentials are taken at once


def softcap_of(attribute: str, config: Any) -> float | None:
    """What a model's configuration says of it; None for families without."""
    return getattr(config.get_text_config(), attribute, None) if attribute else None


def softcapped(logits: "torch.Tensor", cap: float | None) -> "torch.Tensor":
    return logits if cap is None else cap * (logits / cap).tanh()


def log_normaliser(logits: "torch.Tensor") -> "torch.Tensor":
    """Log of the sum of exponentials of each row of logits [n, vocabulary], in float32.

    A few rows at a time: written over in place they stay in the processor's cache, four times faster than all at once.
    """
    import torch

    found = []
    held = torch.empty(_ROWS, logits.shape[-1], dtype=torch.float32, device=logits.device)
    for rows in torch.split(logits, _ROWS):
        wide = held[: len(rows)].copy_(rows)
        largest = wide.amax(-1, keepdim=True)
        found.append(exponential_(wide.sub_(largest)).sum(-1).log_() + largest.squeeze(-1))
    return torch.cat(found)
