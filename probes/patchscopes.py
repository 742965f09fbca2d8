"""Patchscopes: which word does a model read out of a state that another prompt is given?

After Ghandeharioun et al. 2024 (arXiv 2401.06102): the state of a word is put in the place of a token of a target
prompt that repeats, or translates, what stands there, and the next token is read.

What a readout says has two parts: what the state brings, and what any state would bring (frequent words, tokens that
begin several words). So a word's probability under its own state is compared with that under the other words' states.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import DataError
from .paired_tables import Where
from .pooled_tables import pooled_tables
from .statistics import bootstrap_weights

QUANTITIES = ("probability", "control", "recognised")


def readout(
    probabilities: Float[np.ndarray, "*rows state word"],
) -> Float[np.ndarray, "*rows word quantity"]:
    """What readouts of the states of n concepts say about the word of each, in the order of `QUANTITIES`.

    `probability` under the concept's own state; `control`, the mean under the others' states; `recognised`, 1 where its
    own state gives it more than any other does, else 0 (by chance 1/n).

    Raises:
        DataError: fewer than two concepts.
    """
    n = probabilities.shape[-1]
    if n < 2:
        raise DataError(f"readouts of {n} concepts: a control needs two or more (--limit).")
    own = np.diagonal(probabilities, axis1=-2, axis2=-1)
    control = (probabilities.sum(axis=-2) - own) / (n - 1)
    others = np.where(np.eye(n, dtype=bool), -np.inf, probabilities).max(axis=-2)
    return np.stack([own, control, own > others], axis=-1)


def patchscopes_tables(
    measured: Mapping[str, Float[np.ndarray, "prompt layer language state word"]],
    languages: Sequence[str],
    prompts: Sequence[str],
    layers: Sequence[int],
    word: str,
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Means over concepts by condition, and their differences from the base. Bootstrap over concepts.

    Args:
        measured: probability of the words under each state's readout.
        word: whose words they are: a name for the column of that name.

    Returns:
        values: language (of the state), condition, word, prompt, layer, quantity, value, ci_low, ci_high.
        deltas: the same keys, base, aligned, delta, ci_low, ci_high, p_value, p_holm (over languages).
    """
    found = {condition: readout(array) for condition, array in measured.items()}
    weights = bootstrap_weights(next(iter(found.values())).shape[-2], draws, seed)
    values, deltas = [], []
    for p, prompt in enumerate(prompts):
        for i, layer in enumerate(layers):
            where: Where = {"word": word, "prompt": prompt, "layer": layer}
            here = {condition: array[p, i] for condition, array in found.items()}
            value, delta = pooled_tables(here, languages, QUANTITIES, where, weights)
            values.append(value)
            deltas.append(delta)
    return pd.concat(values, ignore_index=True), pd.concat(deltas, ignore_index=True)
