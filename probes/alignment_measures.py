"""The table of measures of alignment: what to call, and what its numbers are about."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from ..errors import DataError
from .cosines import anisotropy, centred_cosine_gap, centroid_distance, cosine_gap
from .neighbours import dali, mexa, retrieval
from .paired_tables import check_parallel
from .parallel import Parallel
from .representation_similarity import anc, cka, pc1_pearson

Contributions = dict[
    str, np.ndarray
]  # by measure; float [language, language, unit], or [language, unit] of one language


@dataclass(frozen=True)
class Measure:
    """A number for every pair of languages, as the mean over ids (or items) of what each contributes."""

    contributions: Callable[[Parallel], np.ndarray]
    # directed: [a, b] is not [b, a]; language: about one language alone
    about: Literal["pair", "directed pair", "language"] = "pair"
    needs_items: bool = False


MEASURES: dict[str, Measure] = {
    "retrieval": Measure(retrieval, "directed pair"),
    "mexa": Measure(mexa),
    "dali": Measure(dali, "directed pair", needs_items=True),
    "cka": Measure(cka),
    "anc": Measure(anc),
    "pc1_pearson": Measure(pc1_pearson),
    "cosine_gap": Measure(cosine_gap),
    "centred_cosine_gap": Measure(centred_cosine_gap),
    "centroid_distance": Measure(centroid_distance),
    "anisotropy": Measure(anisotropy, "language"),
}


def measure(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    languages: Sequence[str],
    items: Sequence[Sequence[int]] = (),
) -> dict[str, Contributions]:
    """Every measure in every condition, as contributions of ids (of items for DALI, which needs `items`).

    Raises:
        DataError: malformed or unlike states, or an item of fewer than two ids or of ids that there are not.
    """
    _, ids, _ = check_parallel(states_by_condition, languages, "states")
    for number, item in enumerate(items):
        if len(set(item)) < 2 or not set(item) <= set(range(ids)):
            raise DataError(f"item {number} has the ids {list(item)}; expected at least two different ones below {ids}")
    measured = {}
    for condition, states in states_by_condition.items():
        parallel = Parallel(states, items)
        measured[condition] = {
            name: one.contributions(parallel) for name, one in MEASURES.items() if items or not one.needs_items
        }
    return measured
