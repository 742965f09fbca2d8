"""Where a layer keeps the language: the span of its language means, and the way from one language to another.

The means of languages differ in few directions (LSAR, Xie et al. 2022, arXiv 2401.05792; Chang et al. 2022, arXiv
2205.10964). Removing them leaves what languages share; the difference of two means is a steering vector (Turner et al.
2023, arXiv 2308.10248).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..errors import DataError


@dataclass(frozen=True)
class LanguageSubspace:
    """Orthonormal directions in which language means differ, those with most of it first, and the means' mean.

    strength: length of the means' deviations along each direction (singular values).
    """

    basis: Float[np.ndarray, "direction d_model"]
    origin: Float[np.ndarray, "d_model"]
    strength: Float[np.ndarray, "direction"]


def language_subspace(states: Float[np.ndarray, "language id d_model"], rank: int | None = None) -> LanguageSubspace:
    """The span of (language mean - mean over languages), from a singular value decomposition.

    Args:
        rank: how many directions; None: all in which means differ, at most languages - 1.

    Raises:
        DataError: fewer than two languages, NaN or infinity, or a rank that the means do not have.
    """
    if len(states) < 2 or not np.isfinite(states).all():
        raise DataError(f"a language subspace needs finite states of two languages; found {states.shape}")
    means = states.mean(axis=1, dtype=np.float64)
    origin = means.mean(axis=0)
    _, strength, directions = np.linalg.svd(means - origin, full_matrices=False)
    full = int((strength > strength[0] * 1e-9).sum()) if strength[0] else 0
    chosen = full if rank is None else rank
    if not 1 <= chosen <= full:
        raise DataError(f"a language subspace of rank {chosen} was asked for; the means of languages span {full}")
    return LanguageSubspace(directions[:chosen], origin, strength[:chosen])


def steering_vector(
    source: Float[np.ndarray, "id d_model"], target: Float[np.ndarray, "id d_model"]
) -> Float[np.ndarray, "d_model"]:
    """Mean of the target's states - mean of the source's."""
    return np.asarray(target.mean(axis=0, dtype=np.float64) - source.mean(axis=0, dtype=np.float64))


def random_basis(rank: int, width: int, seed: int | np.random.Generator) -> Float[np.ndarray, "direction d_model"]:
    """Orthonormal directions [rank, width], uniformly distributed (Mezzadri 2006, arXiv math-ph/0609050).

    Raises:
        DataError: more directions than dimensions.
    """
    if rank > width:
        raise DataError(f"{rank} orthonormal directions do not fit into {width} dimensions")
    found = np.linalg.qr(np.random.default_rng(seed).normal(size=(width, rank)))
    return (found.Q * np.sign(np.diag(found.R))).T  # the algorithm prefers signs, which are no part of the draw
