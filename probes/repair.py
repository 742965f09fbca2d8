"""Repair patching: does the parallel question's state, put into another language's run, mend its answer?

One state of the donor language's run replaces that of the receiving run at the same layer and position (activation
patching, Vig et al. 2020, arXiv 2004.12265). Any state of the donor would shift the answer somewhat, so the parallel
question's state is compared with states of other questions: one with the same right label, which brings all that a
label could bring but not this question; and one with another label, which brings the donor language alone.

`plain` is float [language, id, label]: log-probabilities without a patch. `patched` has one such array per source,
[layer, language, id, label].
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ..errors import DataError
from .log_odds import right_log_odds
from .paired_tables import Where
from .statistics import Estimate, bootstrap_weights, holm, paired_delta, percentile_interval

PARALLEL, SAME_LABEL, OTHER_LABEL = "parallel", "same label", "other label"
QUANTITIES = ("repaired", "broken", "log_odds_gain")
ALL = "all"  # the row over all languages together

_VALUES = ("source", "quantity", "n", "value", "ci_low", "ci_high")
_DELTAS = ("against", "quantity", "n", "control", "parallel", "delta", "ci_low", "ci_high", "p_value", "p_holm")


def donors(truth: Int[np.ndarray, " id"], seed: int) -> dict[str, Int[np.ndarray, " id"]]:
    """For each id, which id's state it receives from each source: itself, another of its label, one of another label.

    Raises:
        DataError: a label has one id only, or all ids have the same label.
    """
    rng = np.random.default_rng(seed)
    same, other = np.empty_like(truth), np.empty_like(truth)
    for label in np.unique(truth):
        own, rest = np.flatnonzero(truth == label), np.flatnonzero(truth != label)
        if len(own) < 2 or not len(rest):
            raise DataError(
                f"repair patching needs two questions of each label and two labels; of {len(truth)} ids, {len(own)} "
                f"have label number {label}. Use more ids (--limit)."
            )
        shuffled = rng.permutation(own)
        same[shuffled] = np.roll(shuffled, 1)  # every one gives once, none to itself
        other[own] = rng.permutation(np.resize(rng.permutation(rest), len(own)))
    return {PARALLEL: np.arange(len(truth)), SAME_LABEL: same, OTHER_LABEL: other}


def repair_tables(
    plain: Float[np.ndarray, "language id label"],
    patched: Mapping[str, Float[np.ndarray, "layer language id label"]],
    truth: Int[np.ndarray, "language id"],
    languages: Sequence[str],
    layers: Sequence[int],
    where: Where,
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What every source of states does to the answers, and what the parallel one does beyond each control.

    Quantities: `repaired`, the share of wrong answers that become right; `broken`, the share of right ones that become
    wrong; `log_odds_gain`, the mean change of the right label's log odds in nats, over all questions. `n` counts the
    questions that a share is of; without any it is NaN. The language `all` pools them. Intervals and p come from a
    bootstrap over parallel ids, Holm over languages within a layer and quantity (the pooled row is not among them).

    Returns:
        values: language, those of `where`, layer, source, quantity, n, value, ci_low, ci_high.
        deltas: language, those of `where`, layer, against (a control), quantity, n, control, parallel, delta, ci_low,
            ci_high, p_value, p_holm.
    """
    weights = bootstrap_weights(plain.shape[1], draws, seed)
    before = right_log_odds(plain, truth)
    values: list[dict[str, object]] = []
    deltas: list[dict[str, object]] = []
    for n_layer, layer in enumerate(layers):
        shares = {
            source: _shares(before, right_log_odds(arrays[n_layer], truth), weights)
            for source, arrays in patched.items()
        }
        for quantity in QUANTITIES:
            for source, by_quantity in shares.items():
                estimate, counts, _ = by_quantity[quantity]
                low, high = percentile_interval(estimate.samples)
                values += _rows(languages, layer, where, _VALUES, source, quantity, counts, (estimate.value, low, high))
            for control in (source for source in shares if source != PARALLEL):
                parallel, counts, n_ids = shares[PARALLEL][quantity]
                d = paired_delta(shares[control][quantity][0], parallel, n_ids)
                adjusted = np.append(holm(d.p_value[:-1]), d.p_value[-1])
                numbers = (d.base, d.aligned, d.delta, d.ci_low, d.ci_high, d.p_value, adjusted)
                deltas += _rows(languages, layer, where, _DELTAS, control, quantity, counts, numbers)
    columns = ["language", *where, "layer"]
    return pd.DataFrame(values, columns=[*columns, *_VALUES]), pd.DataFrame(deltas, columns=[*columns, *_DELTAS])


def _shares(
    before: Float[np.ndarray, "language id"], after: Float[np.ndarray, "language id"], weights: np.ndarray
) -> dict[str, tuple[Estimate, Int[np.ndarray, " row"], Int[np.ndarray, " row"]]]:
    """Each quantity of every language and of all together, with the numbers of questions and of ids it is of."""
    wrong = before <= 0
    parts = {
        "repaired": (wrong & (after > 0), wrong),
        "broken": (~wrong & (after <= 0), ~wrong),
        "log_odds_gain": (after - before, np.ones_like(wrong)),
    }
    found = {}
    for name, (above, below) in parts.items():
        of = _with_all(below)
        found[name] = (_ratio(_with_all(above), of, weights), of.sum(axis=1).astype(int), (of > 0).sum(axis=1))
    return found


def _with_all(per_id: np.ndarray) -> Float[np.ndarray, "row id"]:
    return np.vstack([per_id, per_id.sum(axis=0)]).astype(np.float64)


def _ratio(above: np.ndarray, below: np.ndarray, weights: np.ndarray) -> Estimate:
    """Sum of `above` over ids / sum of `below`, rows [row]; NaN where the latter is 0."""
    counts = np.rint(weights * weights.shape[1])  # whole numbers: equal shares are equal to the last bit

    def share(by: np.ndarray) -> np.ndarray:
        over, under = by @ above.T, by @ below.T
        return np.asarray(np.divide(over, under, out=np.full_like(over, np.nan), where=under > 0))

    return Estimate(share(np.ones((1, above.shape[1])))[0], share(counts))


def _rows(
    languages: Sequence[str],
    layer: int,
    where: Where,
    columns: Sequence[str],
    source: str,
    quantity: str,
    counts: np.ndarray,
    numbers: Sequence[np.ndarray],
) -> list[dict[str, object]]:
    return [
        {"language": language, **where, "layer": layer}
        | dict(zip(columns, (source, quantity, int(counts[i]), *(float(x[i]) for x in numbers)), strict=True))
        for i, language in enumerate([*languages, ALL])
    ]
