"""Tables of direct logit attribution: which layers and heads speak for the right answer, before and after.

The attribution itself (Elhage et al. 2021; Wang et al. 2022, arXiv 2211.00593) is made where the model runs; here its
numbers become means over questions, with intervals and paired differences.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ..errors import DataError
from .paired_tables import ALL, BASE, require_base
from .statistics import bootstrap_weights, holm, mean_estimate, paired_delta, percentile_interval

KINDS = ("embedding", "attention", "head", "mlp", "bias", "rounding", "logit_difference")
NO_HEAD = -1


def components(n_blocks: int, n_heads: int) -> pd.DataFrame:
    """kind, layer, head of every component, in the order of the arrays' axis.

    A layer is counted as in caches: block l writes to layer l, the embedding to 0; what comes at the end stands at the
    last. Heads are counted from 0.
    """
    blocks = range(1, n_blocks + 1)
    rows = [("embedding", 0, NO_HEAD)]
    rows += [("attention", layer, NO_HEAD) for layer in blocks]
    rows += [("head", layer, head) for layer in blocks for head in range(n_heads)]
    rows += [("mlp", layer, NO_HEAD) for layer in blocks]
    rows += [(kind, n_blocks, NO_HEAD) for kind in ("bias", "rounding", "logit_difference")]
    return pd.DataFrame(rows, columns=["kind", "layer", "head"])


def label_pairs(truth: Int[np.ndarray, " id"]) -> Int[np.ndarray, "pair label"]:
    """Ids in groups with one of every label: the first of each label, the second of each, as far as all go.

    A part that always speaks for one label adds up to nothing within a group, so that it does not seem to know the
    answer, and resampled groups stay in balance.

    Raises:
        DataError: all ids have the same label.
    """
    labels, counts = np.unique(truth, return_counts=True)
    if len(labels) < 2:
        raise DataError(f"attribution needs questions of two labels; all {len(truth)} have the same. Use more ids.")
    return np.stack([np.flatnonzero(truth == label)[: counts.min()] for label in labels], axis=1)


def attribution_tables(
    found: Mapping[str, Float[np.ndarray, "language component pair"]],
    parts: pd.DataFrame,
    languages: Sequence[str],
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean contribution of every component (logits) by language and condition, and its change from the base.

    Args:
        found: condition -> contributions, the base among them; a pair is the mean over `label_pairs`, parallel.
        parts: see `components`.

    Returns:
        values: language, condition, kind, layer, head, value, ci_low, ci_high.
        deltas: language, condition, kind, layer, head, base, aligned, delta, ci_low, ci_high, p_value, p_holm.
            Bootstrap over parallel pairs. Holm runs over the languages of one component; for `all`, the mean over
            languages, over all components of a kind.

    Raises:
        DataError: no base, or arrays of another shape.
    """
    require_base(found)
    expected = (len(languages), len(parts), next(iter(found.values())).shape[-1])
    for condition, array in found.items():
        if array.shape != expected:
            raise DataError(f"contributions of {condition!r} have shape {array.shape}, expected {expected}")
    everything = {name: np.concatenate([array, array.mean(0, keepdims=True)]) for name, array in found.items()}
    weights = bootstrap_weights(expected[-1], draws, seed)
    values, deltas = [], []
    for i, language in enumerate([*languages, ALL]):
        estimates = {name: mean_estimate(array[i], weights) for name, array in everything.items()}
        for condition, estimate in estimates.items():
            low, high = percentile_interval(estimate.samples)
            named = parts.assign(language=language, condition=condition)
            values.append(named.assign(value=estimate.value, ci_low=low, ci_high=high))
            if condition == BASE:
                continue
            d = paired_delta(estimates[BASE], estimate, expected[-1])
            numbers = {"base": d.base, "aligned": d.aligned, "delta": d.delta, "ci_low": d.ci_low, "ci_high": d.ci_high}
            deltas.append(named.assign(**numbers, p_value=d.p_value))
    table = pd.concat(values, ignore_index=True)
    return _ordered(table), _ordered(_adjusted(pd.concat(deltas, ignore_index=True))) if deltas else pd.DataFrame()


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    pooled = table["language"] == ALL
    by_component = table[~pooled].groupby(["condition", "kind", "layer", "head"])["p_value"]
    by_kind = table[pooled].groupby(["condition", "kind"])["p_value"]
    p = pd.concat([group.transform(lambda p: holm(p.to_numpy())) for group in (by_component, by_kind)])
    return table.assign(p_holm=p)


def _ordered(table: pd.DataFrame) -> pd.DataFrame:
    named = ["language", "condition", "kind", "layer", "head"]
    return table[[*named, *(column for column in table if column not in named)]]
