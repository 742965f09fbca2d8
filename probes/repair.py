"""Repair patching: does the parallel question's state, put into another language's run, mend its answer?

One state of the donor language's run replaces that of the receiving run at the same layer and position (activation
patching, Vig et al. 2020, arXiv 2004.12265). Any state of the donor would shift the answer somewhat, so the parallel
question's state is compared with states of other questions: one with the same right label, which brings all that a
label could bring but not this question; and one with another label, which brings the donor language alone.

`plain` is float [language, id, label]: log-probabilities without a patch. `patched` has one such array per source,
[layer, language, id, label].
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from ..errors import DataError
from .log_odds import right_log_odds
from .paired_tables import ALL, BASE, Where, records, require_base
from .statistics import Estimate, bootstrap_weights, holm_but_last, paired_delta, percentile_interval

PARALLEL, SAME_LABEL, OTHER_LABEL = "parallel", "same label", "other label"
QUANTITIES = ("repaired", "broken", "log_odds_gain")

_VALUES = ("n", "value", "ci_low", "ci_high")
_CHANGES = ("base", "aligned", "delta", "ci_low", "ci_high", "p_value", "p_holm")
_DELTAS = ("n", "control", "parallel", "delta", "ci_low", "ci_high", "p_value", "p_holm")


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
    values: list[dict[str, object]] = []
    deltas: list[dict[str, object]] = []
    rows = [*languages, ALL]
    for n_layer, layer in enumerate(layers):
        here: dict[str, object] = {**where, "layer": layer}
        shares = {source: _shares(plain, arrays[n_layer], truth, weights) for source, arrays in patched.items()}
        for quantity in QUANTITIES:
            for source, by_quantity in shares.items():
                share = by_quantity[quantity]
                low, high = percentile_interval(share.estimate.samples)
                names = here | {"source": source, "quantity": quantity}
                values += records(rows, names, _VALUES, (share.n, share.estimate.value, low, high))
            for control in (source for source in shares if source != PARALLEL):
                share = shares[PARALLEL][quantity]
                d = paired_delta(shares[control][quantity].estimate, share.estimate, share.n_ids)
                adjusted = holm_but_last(d.p_value)
                numbers = (share.n, d.base, d.aligned, d.delta, d.ci_low, d.ci_high, d.p_value, adjusted)
                deltas += records(rows, here | {"against": control, "quantity": quantity}, _DELTAS, numbers)
    return pd.DataFrame(values), pd.DataFrame(deltas)


def repair_changes(
    plain: Mapping[str, Float[np.ndarray, "language id label"]],
    patched: Mapping[str, Mapping[str, Float[np.ndarray, "layer language id label"]]],
    truth: Int[np.ndarray, "language id"],
    languages: Sequence[str],
    layers: Sequence[int],
    where: Where,
    draws: int = 5000,
    seed: int = 0,
) -> pd.DataFrame:
    """How the values of `repair_tables` of every other condition differ from the base's, paired by id.

    `plain` and `patched` are by condition. A condition's `repaired` is a share of its own wrong answers: not those of
    the base, where answers have changed without a patch. Draws are the same for all conditions; a p is never below what
    the smaller number of ids with such answers allows.

    Returns:
        language, condition, those of `where`, layer, source, quantity, base, aligned, delta, ci_low, ci_high, p_value,
        p_holm. Empty for the base alone.

    Raises:
        DataError: no base.
    """
    require_base(plain)
    weights = bootstrap_weights(truth.shape[1], draws, seed)
    rows: list[dict[str, object]] = []
    for condition in (name for name in plain if name != BASE):
        for n_layer, layer in enumerate(layers):
            for source in patched[BASE]:
                before, after = (
                    _shares(plain[name], patched[name][source][n_layer], truth, weights) for name in (BASE, condition)
                )
                for quantity in QUANTITIES:
                    one, other = before[quantity], after[quantity]
                    d = paired_delta(one.estimate, other.estimate, np.minimum(one.n_ids, other.n_ids))
                    numbers = (d.base, d.aligned, d.delta, d.ci_low, d.ci_high, d.p_value, holm_but_last(d.p_value))
                    names = {"condition": condition, **where, "layer": layer, "source": source, "quantity": quantity}
                    rows += records([*languages, ALL], names, _CHANGES, numbers)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class _Share:
    """A quantity of every language and, last, of all together."""

    estimate: Estimate
    n: Int[np.ndarray, " row"]  # questions that it is of
    n_ids: Int[np.ndarray, " row"]  # ids among them


def _shares(
    plain: Float[np.ndarray, "language id label"],
    patched: Float[np.ndarray, "language id label"],
    truth: Int[np.ndarray, "language id"],
    weights: Float[np.ndarray, "draw id"],
) -> dict[str, _Share]:
    right, right_after = plain.argmax(-1) == truth, patched.argmax(-1) == truth
    gain = right_log_odds(patched, truth) - right_log_odds(plain, truth)
    parts = {
        "repaired": (~right & right_after, ~right),
        "broken": (right & ~right_after, right),
        "log_odds_gain": (gain, np.ones_like(right)),
    }
    found = {}
    for name, (above, below) in parts.items():
        of = _with_all(below)
        found[name] = _Share(_ratio(_with_all(above), of, weights), of.sum(axis=1).astype(int), (of > 0).sum(axis=1))
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
