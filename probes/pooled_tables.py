"""Value and difference tables per language and, in the row `all`, of their mean."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from .paired_tables import ALL, Where, delta_table, value_table
from .statistics import Estimate, mean_estimate


def pooled_tables(
    measured: Mapping[str, Float[np.ndarray, "language id quantity"]],
    languages: Sequence[str],
    quantities: Sequence[str],
    where: Where,
    weights: Float[np.ndarray, "draw id"],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means over ids by condition, and their differences from the base.

    Returns:
        values, deltas: see `paired_tables.value_table` and `delta_table`. Holm runs over the languages; `all` is a test
        by itself.
    """
    estimates = {condition: pooled_estimate(array, weights) for condition, array in measured.items()}
    values = value_table(estimates, [*languages, ALL], quantities, where)
    n = weights.shape[1]
    deltas = [
        delta_table({name: _rows(estimate, rows) for name, estimate in estimates.items()}, family, quantities, where, n)
        for family, rows in ((languages, slice(0, -1)), ([ALL], slice(-1, None)))
    ]
    return values, pd.concat(deltas, ignore_index=True)


def pooled_estimate(
    per_id: Float[np.ndarray, "language id quantity"], weights: Float[np.ndarray, "draw id"]
) -> Estimate:
    """Means over ids, rows [language + 1, quantity]; the last of the languages is their mean."""
    everything = np.concatenate([per_id, per_id.mean(axis=0, keepdims=True)])
    return mean_estimate(np.moveaxis(everything, 1, -1), weights)


def _rows(estimate: Estimate, which: slice) -> Estimate:
    return Estimate(estimate.value[which], estimate.samples[:, which])
