"""Alignment of languages as tables: with the pivot, with all others, overall, and every pair.

Intervals resample parallel ids (items for DALI), the same in all languages and conditions. What a measure holds fixed
stays so: the candidates of a search, the mean that is taken off, each condition's own PC1. Smooth measures are
resampled through their influences, which is their bootstrap to first order; for CKA it is also the sound one, because
the copies of an id in a resample would pass for perfect similarity.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import DataError
from .alignment_measures import MEASURES, Contributions
from .paired_tables import Where, delta_table, require_base, value_table
from .statistics import Estimate, bootstrap_weights, mean_estimate

Rows = dict[str, Float[np.ndarray, "language unit"]]  # by quantity


def with_pivot(measured: Contributions, pivot: int) -> Rows:
    """Every other language with the pivot; of a directed measure, both ways: `_from_pivot` and `_to_pivot`."""
    rows: Rows = {}
    for name, values in measured.items():
        match MEASURES[name].about:
            case "pair":
                rows[name] = np.delete(values[pivot], pivot, axis=0)
            case "directed pair":
                rows[f"{name}_from_pivot"] = np.delete(values[pivot], pivot, axis=0)
                rows[f"{name}_to_pivot"] = np.delete(values[:, pivot], pivot, axis=0)
    return rows


def with_others(measured: Contributions) -> Rows:
    """Every language: its mean over all pairs with another one, of a directed measure both ways.

    Pairs where the measure is undefined (NaN) are left out.
    """
    rows: Rows = {}
    for name, values in measured.items():
        if MEASURES[name].about == "language":
            rows[name] = values
            continue
        both = (values + values.transpose(1, 0, 2)) / 2
        own = range(len(both))
        both[own, own] = np.nan
        defined = np.isfinite(both)
        n = defined.sum(axis=1)
        rows[name] = np.divide(both.sum(axis=1, where=defined), n, out=np.full(n.shape, np.nan), where=n > 0)
    return rows


def pivot_tables(
    measured: Mapping[str, Contributions],
    languages: Sequence[str],
    where: Where,
    pivot: str = "en",
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Alignment of every language but the pivot with the pivot: (values, deltas), see `paired_tables` for the columns.

    Raises:
        DataError: no condition `base`, or the pivot is not among the languages.
    """
    if pivot not in languages:
        raise DataError(f"pivot {pivot!r} is not among the languages {list(languages)}: cache it too or name another")
    index = list(languages).index(pivot)
    rows = {condition: with_pivot(one, index) for condition, one in measured.items()}
    return _tables(rows, [language for language in languages if language != pivot], where, draws, seed)


def pair_tables(
    measured: Mapping[str, Contributions], languages: Sequence[str], where: Where, draws: int = 5000, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Alignment of every language with all others (mean over its pairs): (values, deltas).

    Raises:
        DataError: no condition `base`.
    """
    return _tables({condition: with_others(one) for condition, one in measured.items()}, languages, where, draws, seed)


def mean_tables(
    measured: Mapping[str, Contributions], where: Where, draws: int = 5000, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean over all pairs of languages (over languages, for what is about one): (values, deltas), no column language.

    The languages are taken as given: intervals tell how the mean varies with the sentences.

    Raises:
        DataError: no condition `base`.
    """
    rows = {
        condition: {name: _mean_defined(values) for name, values in with_others(one).items()}
        for condition, one in measured.items()
    }
    values, deltas = _tables(rows, [""], where, draws, seed)
    return values.drop(columns="language"), deltas.drop(columns="language")


def matrix_table(measured: Mapping[str, Contributions], languages: Sequence[str], where: Where) -> pd.DataFrame:
    """Every pair of languages: language_a, language_b, condition, those of `where`, quantity, value (to five decimals).

    A directed measure has both orders (a's states search among b's), the others one; what is about one language has
    that language twice.
    """
    codes = np.array(languages)
    tables = []
    for condition, one in measured.items():
        for name, values in one.items():
            a, b = _entries(name, len(codes))
            value = values.mean(axis=-1, dtype=np.float64)  # rounded in float32 it would not be short
            table = {"language_a": codes[a], "language_b": codes[b], "condition": condition, **where, "quantity": name}
            tables.append(pd.DataFrame(table | {"value": np.round((value if value.ndim == 1 else value[a, b]), 5)}))
    return pd.concat(tables, ignore_index=True)


def _entries(name: str, n: int) -> tuple[np.ndarray, np.ndarray]:
    match MEASURES[name].about:
        case "language":
            return np.arange(n), np.arange(n)
        case "directed pair":
            a, b = np.nonzero(~np.eye(n, dtype=bool))
            return a, b
        case _:
            a, b = np.triu_indices(n, 1)
            return a, b


def _mean_defined(values: Float[np.ndarray, "language unit"]) -> Float[np.ndarray, "one unit"]:
    defined = np.isfinite(values).all(axis=1)
    return values[defined].mean(axis=0, keepdims=True) if defined.any() else np.full((1, values.shape[1]), np.nan)


def _tables(
    rows: Mapping[str, Rows], languages: Sequence[str], where: Where, draws: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    require_base(rows)
    quantities = list(rows["base"])
    estimates = {condition: _estimate(list(one.values()), draws, seed) for condition, one in rows.items()}
    units = np.array([values.shape[1] for values in rows["base"].values()])
    values = value_table(estimates, languages, quantities, where)
    return values, delta_table(estimates, languages, quantities, where, np.tile(units, (len(languages), 1)))


def _estimate(rows: Sequence[Float[np.ndarray, "language _"]], draws: int, seed: int) -> Estimate:
    """Means over units with their resamples, stacked to [language, quantity]."""
    means = [mean_estimate(values, _weights(values.shape[1], draws, seed)) for values in rows]
    return Estimate(np.stack([m.value for m in means], axis=-1), np.stack([m.samples for m in means], axis=-1))


@lru_cache(maxsize=2)
def _weights(units: int, draws: int, seed: int) -> Float[np.ndarray, "draw unit"]:
    """The same draws for every layer, made once."""
    return bootstrap_weights(units, draws, seed)
