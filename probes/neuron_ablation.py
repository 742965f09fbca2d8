"""What languages lose when the neurons of one of them are silenced, in bits per byte."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from ..errors import DataError
from .paired_tables import BASE, delta_table, require_base, value_table
from .random_controls import control_draw
from .statistics import Estimate, bootstrap_p, bootstrap_weights, holm, mean_estimate, percentile_interval

RANDOM = "random"  # in the column `ablated`: as many neurons that are not the language's, drawn at random
QUANTITIES = ("own", "others", "random", "own_less_others", "own_less_random")


@dataclass(frozen=True)
class Ablation:
    """Bits per byte that one condition needs for each text, whole and without some neurons.

    without: [ablated, language, text], without the neurons of each language. random: without random neurons, as many in
    each layer as the text's own language has. neurons: how many each language has.
    """

    whole: Float[np.ndarray, "language text"]
    without: Float[np.ndarray, "language language text"]
    random: Float[np.ndarray, "language text"]
    neurons: Int[np.ndarray, "language"]


def random_neurons(
    mine: Bool[np.ndarray, "layer neuron"], seed: int, language: str
) -> Bool[np.ndarray, "layer neuron"]:
    """As many neurons in each layer as `mine`, those of `language`, and none of these, drawn without replacement.

    Raises:
        DataError: a layer has more of `mine` than others.
    """
    chosen = np.zeros_like(mine)
    for layer, taken in enumerate(mine, start=1):
        free = np.flatnonzero(~taken)
        if taken.sum() > len(free):
            raise DataError(f"Layer {layer} has {taken.sum()} neurons to match at random, and only {len(free)} others.")
        drawn = control_draw(seed, layer, language).choice(free, taken.sum(), replace=False)
        chosen[layer - 1, drawn] = True
    return chosen


def ablation_tables(
    ablations: Mapping[str, Ablation], languages: Sequence[str], draws: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """What silencing costs, with 95% intervals over texts (bootstrap; the same draws in all languages and conditions).

    Returns:
        Every pair: language (of the text), condition, ablated (whose neurons, or `random`), neurons, bits_per_byte (of
        the whole model), delta (without less whole: above 0 is a loss), ci_low, ci_high, p_value, p_holm (over the
        languages of one condition and ablation).
        Selectivity of each language's neurons: language, condition, quantity, value, ci_low, ci_high. `own`: the cost
        in that language; `others`: the mean cost in the other languages; `random`: of random neurons in that language;
        `own_less_others`, `own_less_random`.
        Its differences from the base, as `paired_tables.delta_table`.

    Raises:
        DataError: no base.
    """
    require_base(ablations)
    n_texts = ablations[BASE].whole.shape[1]
    weights = bootstrap_weights(n_texts, draws, seed)
    pairs, selectivity = [], {}
    for condition, ablation in ablations.items():
        costs = np.concatenate([ablation.without, ablation.random[None]]) - ablation.whole
        cost = mean_estimate(costs, weights)
        pairs.append(_pairs(condition, ablation, cost, languages, n_texts))
        selectivity[condition] = _selectivity(costs, weights)
    return (
        pd.concat(pairs, ignore_index=True),
        value_table(selectivity, languages, QUANTITIES, {}),
        delta_table(selectivity, languages, QUANTITIES, {}, n_texts),
    )


def _pairs(condition: str, ablation: Ablation, cost: Estimate, languages: Sequence[str], n_texts: int) -> pd.DataFrame:
    low, high = percentile_interval(cost.samples)
    p = bootstrap_p(cost.samples, n_texts)
    adjusted = np.stack([holm(row) for row in p])
    whole = ablation.whole.mean(1)
    rows = []
    for i, ablated in enumerate([*languages, RANDOM]):
        for j, language in enumerate(languages):
            silent = int(ablation.neurons[j if ablated == RANDOM else i])
            numbers = (whole[j], *(field[i, j] for field in (cost.value, low, high, p, adjusted)))
            rows.append((language, condition, ablated, silent, *map(float, numbers)))
    columns = ["language", "condition", "ablated", "neurons", "bits_per_byte", "delta"]
    return pd.DataFrame(rows, columns=[*columns, "ci_low", "ci_high", "p_value", "p_holm"])


def _selectivity(costs: Float[np.ndarray, "ablated language text"], weights: np.ndarray) -> Estimate:
    """`QUANTITIES` [language, quantity] from the costs of each language's neurons and, last, of random ones."""
    n = costs.shape[1]
    own = costs[np.arange(n), np.arange(n)]
    others = (costs[:n].sum(1) - own) / (n - 1)
    random = costs[n]
    return mean_estimate(np.stack([own, others, random, own - others, own - random], axis=1), weights)
