"""How states are gathered for a lens: a few languages at a time, as many as a core unembeds together."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Int

from ..activations.store import Cache
from ..probes.logit_lens import LensScores
from .conditions import Conditions
from .threads import workers

OF_LANGUAGES = ("likeliest", "likeliest_probability")  # fields of LensScores with a row per language
BLOCK = 256  # states that are unembedded together; their distributions over the vocabulary are held meanwhile
SPAN = 2**15  # rows of a cache that are read at once, to choose from


@dataclass(frozen=True)
class Pack:
    """Languages of one condition, by their indices."""

    condition: str
    languages: tuple[int, ...]


def make_packs(conditions: Conditions, ids: int) -> list[Pack]:
    """Even packs of about `BLOCK` states, a language being whole in one of them; at least one for each core."""
    n = len(conditions.languages)
    number = max(-(-n * ids // BLOCK), -(-workers() // len(conditions.caches)))
    split = np.array_split(np.arange(n), min(number, n))
    return [Pack(name, tuple(part.tolist())) for name in conditions.caches for part in split]


def read_states(
    cache: Cache, layers: Sequence[int], rows: np.ndarray, dtype: torch.dtype, position: str = "last"
) -> Float[torch.Tensor, "layer row d_model"]:
    """States of `rows` [language, id] of the cache one after the other; of position `all`, rows are tokens."""
    flat = rows.ravel()
    first, end = int(flat.min()), int(flat.max()) + 1
    found = torch.empty(len(layers), len(flat), cache.d_model, dtype=dtype)
    for span in (slice(begin, min(begin + SPAN, end)) for begin in range(first, end, SPAN)):
        inside = np.flatnonzero((flat >= span.start) & (flat < span.stop))
        for of_layer, layer in zip(found, layers, strict=True):
            states = cache.states(position, layer, span)[flat[inside] - span.start]
            of_layer[inside] = torch.from_numpy(states).to(dtype)
    return found


PackScores = tuple[LensScores, Float[np.ndarray, "layer n"]]  # the latter is token energy


@dataclass(frozen=True)
class Gathered:
    """The scores of all packs of one condition; see `LensScores`."""

    mass: Float[np.ndarray, "language id layer word_set"]
    entropy_bits: Float[np.ndarray, "language id layer"]
    kl_to_final_bits: Float[np.ndarray, "language id layer"]
    right_rank: Float[np.ndarray, "language id layer"]
    top_tokens: Int[np.ndarray, "language id layer top"]
    top_probability: Float[np.ndarray, "language id layer top"]
    likeliest: Int[np.ndarray, "language layer rank"]
    likeliest_probability: Float[np.ndarray, "language layer rank"]
    token_energy: Float[np.ndarray, "language id layer"]

    @classmethod
    def of(cls, scored: Sequence[PackScores], n_languages: int, ids: int) -> Self:
        def joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
            return np.swapaxes(np.concatenate(arrays, axis=1), 0, 1)

        def by_id(arrays: Sequence[np.ndarray]) -> np.ndarray:
            rows_first = joined(arrays)
            return rows_first.reshape(n_languages, ids, *rows_first.shape[1:])

        found = {
            field.name: (joined if field.name in OF_LANGUAGES else by_id)([getattr(s, field.name) for s, _ in scored])
            for field in fields(LensScores)
        }
        return cls(**found, token_energy=by_id([energy for _, energy in scored]))
