"""What is done to the residual stream: at one layer, at chosen tokens of chosen rows.

Layers are counted as in caches: 0 is what enters the first block, i what leaves the i-th.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int

Change = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Places:
    """Single tokens of rows: `tokens[n]` of row `rows[n]`, counted from its beginning."""

    rows: Int[torch.Tensor, "place"]
    tokens: Int[torch.Tensor, "place"]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Edit:
    """A change of the residual stream at `layer`.

    change: from the states [n, d_model] of some of the places, and their numbers [n] among `places`, to new states.
    """

    layer: int
    places: Places
    change: Change


def last_tokens(rows: Sequence[Sequence[int]], only: Sequence[int] | None = None) -> Places:
    """The last token of every row, or of the rows numbered `only`."""
    chosen = list(range(len(rows))) if only is None else list(only)
    return Places(torch.tensor(chosen, dtype=torch.long), torch.tensor([len(rows[i]) - 1 for i in chosen]))


def every_token(rows: Sequence[Sequence[int]], start: int = 0) -> Places:
    """All tokens of every row, from the token `start` on."""
    pairs = [(i, token) for i, row in enumerate(rows) for token in range(start, len(row))]
    flat = torch.tensor(pairs, dtype=torch.long).view(-1, 2)
    return Places(flat[:, 0], flat[:, 1])


def tokens_between(rows: Sequence[int], start: int, stop: int) -> Places:
    """The tokens from `start` to before `stop` of each of the rows numbered `rows`."""
    tokens = torch.arange(start, stop)
    return Places(torch.tensor(rows, dtype=torch.long).repeat_interleave(len(tokens)), tokens.repeat(len(rows)))


def replacing(layer: int, places: Places, states: Float[torch.Tensor, "place d_model"]) -> Edit:
    """Put `states` in the place of what is there."""
    return Edit(layer, places, lambda found, which: states[which].to(found))


def adding(layer: int, places: Places, vector: Float[torch.Tensor, "d_model"]) -> Edit:
    """Add one vector at every place."""
    return Edit(layer, places, lambda found, which: found + vector.to(found))


def removing(
    layer: int,
    places: Places,
    basis: Float[torch.Tensor, "direction d_model"],
    origin: Float[torch.Tensor, "d_model"] | None = None,
    along: Float[torch.Tensor, "direction d_model"] | None = None,
) -> Edit:
    """Project onto the complement of orthonormal directions; along them every state becomes `origin` (zero if None).

    Args:
        along: orthonormal directions along which the same amounts are taken away instead: a change of the same rank and
            size elsewhere, as a control.
    """

    def change(found: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
        directions = basis.to(found.device, torch.float32)
        away = found.float() if origin is None else found.float() - origin.to(found.device, torch.float32)
        taken = directions if along is None else along.to(found.device, torch.float32)
        return found - (away @ directions.T @ taken).to(found.dtype)

    return Edit(layer, places, change)
