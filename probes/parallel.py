"""States of one layer and position in all languages, in the forms in which measures of alignment read them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Parallel:
    """States [language, id, d_model]; rows with the same id are translations of one another.

    `items` are the ids (as indices) that share a premise and differ in an option; without any, DALI has nothing to say.
    """

    states: Float[np.ndarray, "language id d_model"]
    items: Sequence[Sequence[int]] = ()

    @cached_property
    def directions(self) -> Float[np.ndarray, "language id d_model"]:
        """States of length 1, in float32; a zero state stays zero."""
        return _units(self.states.astype(np.float32, copy=False))

    @cached_property
    def centred(self) -> Float[np.ndarray, "language id d_model"]:
        """States less their language's mean, in float32."""
        # Less the first row beforehand: rows that are the same become exactly zero, and sums stay small.
        shifted = (self.states - self.states[:, :1]).astype(np.float32, copy=False)
        return np.asarray(shifted - shifted.mean(axis=1, keepdims=True))

    @cached_property
    def centred_directions(self) -> Float[np.ndarray, "language id d_model"]:
        """Centred states of length 1; one without a direction of its own stays zero, near to nothing."""
        return _units(self.centred)


def _units(rows: Float[np.ndarray, "language id d_model"]) -> Float[np.ndarray, "language id d_model"]:
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return np.asarray(np.divide(rows, length, out=np.zeros_like(rows), where=length > 0))


def by_id(
    one: Float[np.ndarray, "language id feature"], other: Float[np.ndarray, "language id feature"]
) -> Float[np.ndarray, "language language id"]:
    """Dot products of every language's row in `one` with every language's row of the same id in `other`."""
    return np.asarray((one.transpose(1, 0, 2) @ other.transpose(1, 2, 0)).transpose(1, 2, 0))
