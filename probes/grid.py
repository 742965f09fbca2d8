"""Training sets against languages: every condition of a study beside its base and beside its control.

A cell is one condition asked one test, once for each seed of its training or of its demonstrations; values are means
over those repeats, and the spread over them stands beside. Intervals resample questions (parallel ids); averages over
groups of languages resample languages as well, and so speak of languages like these, not of these alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import pandas as pd
from jaxtyping import Float

from ..errors import DataError
from .accuracy import QUANTITIES, Answers, accuracy_p, estimates, paired
from .statistics import Delta, Estimate, bootstrap_p, difference, holm, paired_delta, percentile_interval

GROUPS = ("seen", "unseen", "all")
_FIELDS = ("reference", "value", "delta", "ci_low", "ci_high", "p_value")

GRID_COLUMNS = [
    *("train_set", "task", "language", "trained", "condition", "n", "accuracy", "ci_low", "ci_high", "auc"),
    *("accuracy_calibrated", "auc_ci_low", "auc_ci_high", "repeats", "accuracy_spread", "auc_spread"),
]
DELTA_COLUMNS = [
    *("task", "condition", "train_set", "against", "language", "trained", "n", "quantity", *_FIELDS, "p_holm"),
    *("repeats", "spread"),
]
GROUP_COLUMNS = [
    *("task", "condition", "train_set", "against", "group", "n_languages", "n", "quantity", *_FIELDS),
    *("repeats", "spread"),
]


@dataclass(frozen=True)
class Cell:
    """One condition asked one test. `answers` holds one element per repeat, all to the same questions."""

    test: str
    condition: str
    train_set: str  # what it was trained on, in words: 'zh+es to en'
    trained: frozenset[str]  # languages in its training pairs
    answers: tuple[Answers, ...]


@dataclass(frozen=True)
class Measured:
    """A cell with its QUANTITIES per language: the mean over repeats, and each repeat's value."""

    cell: Cell
    languages: list[str]
    n: np.ndarray  # questions of each language
    n_ids: int
    estimates: Mapping[str, Estimate]
    repeats: Mapping[str, Float[np.ndarray, "repeat language"]]

    def trained(self) -> list[bool]:
        return [language in self.cell.trained for language in self.languages]


def measure(cells: Sequence[Cell], draws: int = 5000, seed: int = 0) -> list[Measured]:
    """Estimate every cell once; all of one test must have answered the same questions.

    Raises:
        DataError: two cells of a test with other questions, labels or truth, or of the same condition.
    """
    first: dict[str, Answers] = {}
    names: set[tuple[str, str]] = set()
    measured = []
    for cell in cells:
        if (cell.test, cell.condition) in names:
            raise DataError(f"condition {cell.condition!r} occurs twice in test {cell.test!r}: give each its own name")
        names.add((cell.test, cell.condition))
        reference = first.setdefault(cell.test, cell.answers[0])
        answers = tuple(paired(reference, one) for one in cell.answers)
        measured.append(_measured(replace(cell, answers=answers), draws, seed))
    return measured


def grid_table(measured: Sequence[Measured]) -> pd.DataFrame:
    """One row per test, condition and language, in GRID_COLUMNS; intervals are 95%, shares are in [0, 1].

    accuracy_calibrated is prior-corrected (Zhao et al. 2021); repeats counts seeds, *_spread is their deviation.
    """
    rows = []
    for one in measured:
        low, high = percentile_interval(one.estimates["accuracy"].samples)
        auc_low, auc_high = percentile_interval(one.estimates["auc"].samples)
        for i, language in enumerate(one.languages):
            rows.append(
                {
                    **_names(one),
                    "language": language,
                    "trained": one.trained()[i],
                    "n": int(one.n[i]),
                    "accuracy": float(one.estimates["accuracy"].value[i]),
                    "ci_low": float(low[i]),
                    "ci_high": float(high[i]),
                    "auc": float(one.estimates["auc"].value[i]),
                    "accuracy_calibrated": float(one.estimates["calibrated"].value[i]),
                    "auc_ci_low": float(auc_low[i]),
                    "auc_ci_high": float(auc_high[i]),
                    "accuracy_spread": _deviation(one.repeats["accuracy"][:, i]),
                    "auc_spread": _deviation(one.repeats["auc"][:, i]),
                }
            )
    return pd.DataFrame(rows, columns=GRID_COLUMNS)


def grid_delta_table(measured: Sequence[Measured], against: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """One row per condition, reference, quantity and language, in DELTA_COLUMNS: the paired difference.

    Args:
        against: condition -> the conditions it is compared with, in the same test (base; its copy control).

    Intervals and p are of the paired bootstrap over ids, but for the p of the accuracy of two single runs, which is
    McNemar's, exact; Holm runs over the languages of one comparison. spread is the standard deviation of the
    difference over repeats.
    """
    rows = []
    for one, reference in _comparisons(measured, against):
        for quantity in QUANTITIES:
            delta = paired_delta(reference.estimates[quantity], one.estimates[quantity], one.n)
            if quantity == "accuracy" and len(one.cell.answers) == len(reference.cell.answers) == 1:
                delta = replace(delta, p_value=accuracy_p(*reference.cell.answers, *one.cell.answers))
            adjusted = holm(delta.p_value)
            apart = _repeated_differences(reference, one, quantity)
            for i, language in enumerate(one.languages):
                rows.append(
                    {
                        **_names(one),
                        "against": reference.cell.condition,
                        "language": language,
                        "trained": one.trained()[i],
                        "n": int(one.n[i]),
                        "quantity": quantity,
                        **_numbers(delta, i),
                        "p_holm": float(adjusted[i]),
                        "spread": _deviation(apart[:, i]),
                    }
                )
    return pd.DataFrame(rows, columns=DELTA_COLUMNS)


def grid_group_table(measured: Sequence[Measured], against: Mapping[str, Sequence[str]], seed: int = 0) -> pd.DataFrame:
    """Means over seen, unseen and all languages and their differences, in GROUP_COLUMNS.

    Seen are the languages in the training pairs of the condition or of its reference; the others are unseen by both.
    Intervals resample languages and ids at once (the crossed bootstrap of Owen 2007, doi:10.1214/07-AOAS122, which errs
    on the wide side). With a handful of languages or ids no p can be small: it is never below 2^(1 - n) for n of them.
    Languages without a defined value are left out.
    """
    rows = []
    for one, reference in _comparisons(measured, against):
        seen = np.array(one.trained()) | np.array(reference.trained())
        members = dict(zip(GROUPS, (seen, ~seen, np.ones_like(seen)), strict=True))
        for group, quantity in ((g, q) for g in GROUPS for q in QUANTITIES):
            old, new = reference.estimates[quantity], one.estimates[quantity]
            inside = members[group] & np.isfinite(old.value) & np.isfinite(new.value)
            if not inside.any():
                continue
            n_languages = int(inside.sum())
            delta = float(difference(old.value, new.value)[inside].mean())
            samples = _over_languages(difference(old.samples, new.samples)[:, inside], seed)
            low, high = percentile_interval(samples)
            p = bootstrap_p(samples, min(n_languages, one.n_ids))
            numbers = (old.value[inside].mean(), new.value[inside].mean(), delta, low, high, p)
            rows.append(
                {
                    **_names(one),
                    "against": reference.cell.condition,
                    "group": group,
                    "n_languages": n_languages,
                    "n": int(one.n[inside].max()),
                    "quantity": quantity,
                    **dict(zip(_FIELDS, map(float, numbers), strict=True)),
                    "spread": _deviation(_repeated_differences(reference, one, quantity)[:, inside].mean(axis=1)),
                }
            )
    return pd.DataFrame(rows, columns=GROUP_COLUMNS)


def _measured(cell: Cell, draws: int, seed: int) -> Measured:
    found = [estimates(answers, draws, seed) for answers in cell.answers]
    first = cell.answers[0]
    mean = {
        name: Estimate(
            np.mean([one[name].value for one in found], axis=0),
            reduce(np.add, (one[name].samples for one in found)) / len(found),
        )
        for name in QUANTITIES
    }
    repeats = {name: np.stack([one[name].value for one in found]) for name in QUANTITIES}
    n = np.array([(first.language == language).sum() for language in first.languages])
    return Measured(cell, first.languages, n, len(np.unique(first.id)), mean, repeats)


def _repeated_differences(reference: Measured, one: Measured, quantity: str) -> Float[np.ndarray, "repeat language"]:
    """Difference of each repeat from its partner; fewer partners are taken in turn (demonstration seeds)."""
    ours, theirs = one.repeats[quantity], reference.repeats[quantity]
    times, left = divmod(len(ours), len(theirs))
    return np.asarray(ours - (theirs.mean(axis=0) if left else np.tile(theirs, (times, 1))))


def _deviation(values: Float[np.ndarray, " repeat"]) -> float:
    """Standard deviation over repeats; NaN for one."""
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def _comparisons(measured: Sequence[Measured], against: Mapping[str, Sequence[str]]) -> list[tuple[Measured, Measured]]:
    at = {(one.cell.test, one.cell.condition): one for one in measured}
    return [
        (one, at[one.cell.test, name])
        for one in measured
        for name in against.get(one.cell.condition, ())
        if (one.cell.test, name) in at
    ]


def _over_languages(samples: Float[np.ndarray, "draw language"], seed: int) -> Float[np.ndarray, " draw"]:
    """Mean of each draw over languages that are themselves drawn with replacement."""
    draws, n = samples.shape
    # A stream of its own: with as many languages as ids, the draws of ids would otherwise be drawn again.
    weights = np.random.default_rng([seed, 1]).multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
    weights[~np.isfinite(samples)] = 0.0
    total = weights.sum(axis=1)
    summed = (weights * np.nan_to_num(samples)).sum(axis=1)
    return np.asarray(np.divide(summed, total, out=np.full(draws, np.nan), where=total > 0))


def _names(one: Measured) -> dict[str, object]:
    cell = one.cell
    return {
        "task": cell.test,
        "condition": cell.condition,
        "train_set": cell.train_set,
        "repeats": len(cell.answers),
    }


def _numbers(delta: Delta, i: int) -> dict[str, float]:
    values = (delta.base, delta.aligned, delta.delta, delta.ci_low, delta.ci_high, delta.p_value)
    return {name: float(value[i]) for name, value in zip(_FIELDS, values, strict=True)}
