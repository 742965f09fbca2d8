"""Concept against language: which word a translation prompt gives once another prompt's states are in it.

After Dumas et al. 2025 (arXiv 2411.08745). States of a source prompt (concept A, into language s) are patched into a
target prompt (concept B, into language t). If concept and language are apart, the states carry A, and the target prompt
still says it in t. The mean of the states over source prompts in several languages leaves what they share: the concept.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import DataError
from .paired_tables import ALL, records
from .pooled_tables import pooled_estimate, pooled_tables
from .statistics import bootstrap_weights, holm_but_last, paired_delta

# What is measured: probabilities of words. The last one has no part in either prompt.
QUANTITIES = (
    "source_concept_target_language",
    "target_concept_target_language",
    "source_concept_source_language",
    "target_concept_source_language",
    "other_concept_target_language",
)
SINGLE, MEAN = "single", "mean"  # of source prompts
SOURCES = (SINGLE, MEAN)

_GAINS = ("single", "mean", "delta", "ci_low", "ci_high", "p_value", "p_holm")

Patched = Mapping[str, Float[np.ndarray, "position source layer target trio quantity"]]
Unpatched = Mapping[str, Float[np.ndarray, "target trio quantity"]]


@dataclass(frozen=True)
class Trio:
    """Concepts of one experiment: of the source prompt, of the target prompt, and of none."""

    source: str
    target: str
    other: str


def trios(concepts: Sequence[str], n: int, seed: int) -> list[Trio]:
    """Draw `n` concepts (at most all of them); each has every part once.

    Raises:
        DataError: fewer than three.
    """
    chosen = random.Random(seed).sample(list(concepts), min(n, len(concepts)))
    if len(chosen) < 3:
        raise DataError(f"concept patching of {len(chosen)} concepts: it needs three or more (--limit).")
    return [Trio(*(chosen[(i + step) % len(chosen)] for step in range(3))) for i in range(len(chosen))]


def exclusive(sets: Sequence[Sequence[int]]) -> list[list[int]]:
    """The sets without what is in more than one of them, each sorted."""
    times = Counter(token for tokens in sets for token in set(tokens))
    return [sorted({token for token in tokens if times[token] == 1}) for tokens in sets]


def unpatched_tables(
    unpatched: Unpatched, languages: Sequence[str], draws: int = 5000, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What target prompts say by themselves: mean probability of every quantity, by the language they ask for.

    Columns: see `pooled_tables`, without columns between condition and quantity. Bootstrap over trios.
    """
    weights = bootstrap_weights(_n_trios(unpatched), draws, seed)
    return pooled_tables(unpatched, languages, QUANTITIES, {}, weights)


def patched_tables(
    patched: Patched,
    languages: Sequence[str],
    positions: Sequence[str],
    layers: Sequence[int],
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What target prompts say with states of source prompts in them. Bootstrap over trios, Holm over languages.

    Returns:
        values: language (that the target prompt asks for), condition, position, layer, source, quantity, value, ci_low,
            ci_high.
        deltas: the conditions' differences from the base: ..., base, aligned, delta, ci_low, ci_high, p_value, p_holm.
        gains: the mean of several sources against a single one, in each condition: ..., single, mean, delta, ci_low,
            ci_high, p_value, p_holm.
    """
    weights = bootstrap_weights(_n_trios(patched), draws, seed)
    values, deltas, gains = [], [], []
    for p, position in enumerate(positions):
        for i, layer in enumerate(layers):
            where: dict[str, int | str] = {"position": position, "layer": layer}
            for j, source in enumerate(SOURCES):
                here = {condition: array[p, j, i] for condition, array in patched.items()}
                value, delta = pooled_tables(here, languages, QUANTITIES, where | {"source": source}, weights)
                values.append(value)
                deltas.append(delta)
            for condition, array in patched.items():
                both = dict(zip(SOURCES, array[p, :, i], strict=True))
                gains += _gains(both, languages, {"condition": condition, **where}, weights)
    return pd.concat(values, ignore_index=True), pd.concat(deltas, ignore_index=True), pd.DataFrame(gains)


def _gains(
    measured: Mapping[str, Float[np.ndarray, "target trio quantity"]],
    languages: Sequence[str],
    where: Mapping[str, object],
    weights: Float[np.ndarray, "draw trio"],
) -> list[dict[str, object]]:
    """Records of the differences mean - single."""
    estimates = {source: pooled_estimate(array, weights) for source, array in measured.items()}
    d = paired_delta(estimates[SINGLE], estimates[MEAN], weights.shape[1])
    rows: list[dict[str, object]] = []
    for q, quantity in enumerate(QUANTITIES):
        adjusted = holm_but_last(d.p_value[:, q])
        fields = (d.base, d.aligned, d.delta, d.ci_low, d.ci_high, d.p_value)
        numbers = (*(field[:, q] for field in fields), adjusted)
        rows += records([*languages, ALL], {**where, "quantity": quantity}, _GAINS, numbers)
    return rows


def _n_trios(arrays: Mapping[str, np.ndarray]) -> int:
    return int(next(iter(arrays.values())).shape[-2])
