"""How often each language is answered rightly, and what alignment changed, with intervals and tests.

Accuracy shows what a user would see; AUC shows whether the model ranks right labels higher, whatever its bias for one
of them; accuracy with the model's prior for each label taken out lies between the two; the shares of predicted labels
show the bias itself. A gain in accuracy without one in AUC is calibration.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.special import logsumexp

from ..errors import DataError
from .statistics import (
    Delta,
    Estimate,
    bootstrap_weights,
    holm,
    mcnemar_exact,
    paired_delta,
    percentile_interval,
    wilson_interval,
)


@dataclass(frozen=True)
class Answers:
    """One condition's answers to n questions, a row each; (language, id) names a row and is unique.

    `language` [n] and `id` [n] are strings, rows of one id being translations of one another; `truth` [n] indexes
    `labels`; `logprob` [n, k] is the log-probability of every label (or any score that grows with it). `prior` [n, k]
    is the log of what the model would say without a question (`label_prior`); without it nothing is corrected.

    Raises:
        DataError: no rows, unequal lengths, fewer than two labels or repeated ones, a truth outside the labels, a
            logprob that is not finite, or a repeated (language, id).
    """

    condition: str
    labels: tuple[str, ...]
    # Shapes are checked below and not in the annotations: a wrong one is a user's mistake with a message of its own.
    language: np.ndarray
    id: np.ndarray
    truth: np.ndarray
    logprob: np.ndarray
    prior: np.ndarray | None = None

    def __post_init__(self) -> None:
        where = f"answers of condition {self.condition!r}"
        n, k = len(self.language), len(self.labels)
        if n == 0:
            raise DataError(f"{where}: there are none, expected at least one")
        if k < 2 or len(set(self.labels)) != k:
            raise DataError(f"{where}: labels {list(self.labels)}, expected at least two different ones")
        if len(self.id) != n or self.truth.shape != (n,) or self.logprob.shape != (n, k):
            raise DataError(
                f"{where}: {n} languages and {k} labels, but {len(self.id)} ids, truth of shape {self.truth.shape} and "
                f"logprob of shape {self.logprob.shape}; expected one row each and one logprob per label"
            )
        if self.prior is not None and self.prior.shape != (n, k):
            raise DataError(f"{where}: prior of shape {self.prior.shape}, expected {(n, k)} as logprob")
        # Strings from HDF5 come as objects; comparing and sorting need one kind.
        object.__setattr__(self, "language", np.asarray(self.language, dtype=str))
        object.__setattr__(self, "id", np.asarray(self.id, dtype=str))
        for row in np.flatnonzero((self.truth < 0) | (self.truth >= k)).tolist()[:1]:
            raise DataError(f"{where}, {self._name(row)}: truth {self.truth[row]}, expected 0 to {k - 1}")
        for row in np.flatnonzero(~np.isfinite(self.logprob).all(axis=1)).tolist()[:1]:
            raise DataError(f"{where}, {self._name(row)}: logprob {self.logprob[row]} is not finite")
        seen: set[tuple[str, str]] = set()
        for row, key in enumerate(self.keys):
            if key in seen:
                raise DataError(f"{where}, {self._name(row)}: occurs twice, expected each (language, id) once")
            seen.add(key)

    @property
    def keys(self) -> list[tuple[str, str]]:
        """The (language, id) of every row."""
        return list(zip(self.language.tolist(), self.id.tolist(), strict=True))

    @property
    def languages(self) -> list[str]:
        """Languages in order of first appearance."""
        return list(dict.fromkeys(self.language.tolist()))

    @property
    def predicted(self) -> Int[np.ndarray, " n"]:
        """Index of the likeliest label of every row; the first of equal ones."""
        return np.asarray(self.logprob.argmax(axis=1))

    @property
    def correct(self) -> Bool[np.ndarray, " n"]:
        """Whether the predicted label is the true one."""
        return np.asarray(self.predicted == self.truth)

    @property
    def correct_calibrated(self) -> Bool[np.ndarray, " n"]:
        """The same after contextual calibration: each label's probability divided by its prior."""
        prior = 0 if self.prior is None else self.prior
        return np.asarray((self.logprob - prior).argmax(axis=1) == self.truth)

    def _name(self, row: int) -> str:
        return f"language {str(self.language[row])!r}, id {str(self.id[row])!r}"


def label_prior(logprob: Float[np.ndarray, "prompt k"]) -> Float[np.ndarray, " k"]:
    """Log share of each label over prompts that ask nothing (Zhao et al. 2021, arXiv 2102.09690).

    Each prompt's label probabilities are made to sum to 1, then averaged over the prompts.
    """
    logprob = logprob.astype(np.float64)
    shares = logprob - logsumexp(logprob, axis=1, keepdims=True)
    return np.asarray(logsumexp(shares, axis=0) - np.log(len(shares)))  # never through exp, which may underflow


def accuracy_table(
    answers: Sequence[Answers], trained: Collection[str], draws: int = 5000, seed: int = 0
) -> pd.DataFrame:
    """One row per condition and language; accuracy and AUC in [0, 1] with 95% intervals.

    Columns: language, condition, trained (in a training pair), n, accuracy, ci_low, ci_high (Wilson), auc, auc_ci_low,
    auc_ci_high (bootstrap over ids), accuracy_calibrated, calibrated_ci_low, calibrated_ci_high (Wilson). AUC is
    one-versus-rest, the mean over labels; NaN for a language whose questions all have the same true label.

    Raises:
        DataError: two conditions of the same name.
    """
    _check_names(answers)
    rows: list[dict[str, object]] = []
    for one in answers:
        auc = estimates(one, draws, seed)["auc"]
        low, high = percentile_interval(auc.samples)
        for i, language in enumerate(one.languages):
            correct = one.correct[one.language == language]
            calibrated = one.correct_calibrated[one.language == language]
            wilson, wilson_calibrated = (wilson_interval(int(c.sum()), len(c)) for c in (correct, calibrated))
            rows.append(
                {
                    "language": language,
                    "condition": one.condition,
                    "trained": language in trained,
                    "n": len(correct),
                    "accuracy": float(correct.mean()),
                    "ci_low": wilson[0],
                    "ci_high": wilson[1],
                    "auc": float(auc.value[i]),
                    "auc_ci_low": float(low[i]),
                    "auc_ci_high": float(high[i]),
                    "accuracy_calibrated": float(calibrated.mean()),
                    "calibrated_ci_low": wilson_calibrated[0],
                    "calibrated_ci_high": wilson_calibrated[1],
                }
            )
    return pd.DataFrame(rows, columns=_VALUE_COLUMNS)


def predicted_share_table(answers: Sequence[Answers]) -> pd.DataFrame:
    """One row per condition, language and label: how often it was predicted and how often it is true, in [0, 1].

    Columns: language, condition, label, share, ci_low, ci_high (Wilson), true_share. A model that always says the same
    scores at chance and can gain or lose by a shift of bias alone.

    Raises:
        DataError: two conditions of the same name.
    """
    _check_names(answers)
    rows: list[dict[str, object]] = []
    for one in answers:
        for language in one.languages:
            here = one.language == language
            predicted, truth = one.predicted[here], one.truth[here]
            for i, label in enumerate(one.labels):
                low, high = wilson_interval(int((predicted == i).sum()), len(predicted))
                rows.append(
                    {
                        "language": language,
                        "condition": one.condition,
                        "label": label,
                        "share": float((predicted == i).mean()),
                        "ci_low": low,
                        "ci_high": high,
                        "true_share": float((truth == i).mean()),
                    }
                )
    return pd.DataFrame(rows, columns=["language", "condition", "label", "share", "ci_low", "ci_high", "true_share"])


def accuracy_delta_table(
    base: Answers, others: Sequence[Answers], trained: Collection[str], draws: int = 5000, seed: int = 0
) -> pd.DataFrame:
    """One row per other condition and language: its paired difference from `base`, in accuracy and in AUC.

    Rows are paired by (language, id). Columns: language, trained, n, base, aligned, delta, ci_low, ci_high (paired
    bootstrap over ids), p_value (exact McNemar), p_holm, then auc_base, auc_aligned, auc_delta, auc_ci_low,
    auc_ci_high, auc_p_value (paired bootstrap), auc_p_holm, the same with calibrated_, and condition. Holm runs over
    the languages of one condition. The interval and the McNemar p are different methods and can disagree at the edge of
    significance.

    Raises:
        DataError: a row without a partner, other labels or truth than the base's, or two conditions of the same name.
    """
    _check_names([base, *others])
    tables = []
    for other in others:
        same = paired(base, other)
        counts = np.array([(base.language == language).sum() for language in base.languages])
        before, after = estimates(base, draws, seed), estimates(same, draws, seed)
        accuracy, auc, calibrated = (paired_delta(before[name], after[name], counts) for name in QUANTITIES)
        p = accuracy_p(base, same)
        columns: dict[str, object] = {
            "language": base.languages,
            "trained": [language in trained for language in base.languages],
            "n": counts,
            "base": accuracy.base,
            "aligned": accuracy.aligned,
            "delta": accuracy.delta,
            "ci_low": accuracy.ci_low,
            "ci_high": accuracy.ci_high,
            "p_value": p,
            "p_holm": holm(p),
            **_prefixed("auc", auc),
            **_prefixed("calibrated", calibrated),
            "condition": other.condition,
        }
        tables.append(pd.DataFrame(columns))
    return _concat(tables, _DELTA_COLUMNS)


def accuracy_p(base: Answers, same: Answers) -> Float[np.ndarray, " language"]:
    """Exact McNemar of two single runs on the same rows, for each language."""
    rows = [base.language == language for language in base.languages]
    return np.array([mcnemar_exact(base.correct[own], same.correct[own]) for own in rows])


def _prefixed(name: str, delta: Delta) -> dict[str, object]:
    fields = {f"{name}_{field}": getattr(delta, field) for field in _DELTA_FIELDS}
    return {**fields, f"{name}_p_holm": holm(delta.p_value)}


def accuracy_group_table(
    base: Answers, others: Sequence[Answers], trained: Collection[str], draws: int = 5000, seed: int = 0
) -> pd.DataFrame:
    """Mean over each group of languages and its paired difference from `base`.

    Groups: `all`, `trained` and `untrained` (languages of no training pair); an empty one is left out. Columns: group,
    condition, n_languages, n_ids, quantity (one of QUANTITIES), base, aligned, delta, ci_low, ci_high, p_value.
    Each id is resampled in all its languages at once, because translations of one question are not independent; the
    languages themselves are taken as given. Languages without a defined AUC are not in its mean nor its n_languages.

    Raises:
        DataError: as for `accuracy_delta_table`.
    """
    _check_names([base, *others])
    seen = np.array([language in trained for language in base.languages])
    groups = {"all": np.ones_like(seen), "trained": seen, "untrained": ~seen}
    rows: list[dict[str, object]] = []
    for other in others:
        same = paired(base, other)
        before, after = estimates(base, draws, seed), estimates(same, draws, seed)
        for group, members in groups.items():
            for quantity in QUANTITIES:
                old, new = before[quantity], after[quantity]
                inside = members & np.isfinite(old.value)
                if not inside.any():
                    continue
                languages = [language for language, kept in zip(base.languages, inside, strict=True) if kept]
                n_ids = len(np.unique(base.id[np.isin(base.language, languages)]))
                delta = paired_delta(_group_mean(old, inside), _group_mean(new, inside), n_ids)
                rows.append(
                    {
                        "group": group,
                        "condition": other.condition,
                        "n_languages": len(languages),
                        "n_ids": n_ids,
                        "quantity": quantity,
                        **{field: float(getattr(delta, field)) for field in _DELTA_FIELDS},
                    }
                )
    return pd.DataFrame(rows, columns=["group", "condition", "n_languages", "n_ids", "quantity", *_DELTA_FIELDS])


QUANTITIES = ("accuracy", "auc", "calibrated")
_DELTA_FIELDS = ("base", "aligned", "delta", "ci_low", "ci_high", "p_value")
_VALUE_COLUMNS = [
    *("language", "condition", "trained", "n", "accuracy", "ci_low", "ci_high", "auc", "auc_ci_low", "auc_ci_high"),
    *("accuracy_calibrated", "calibrated_ci_low", "calibrated_ci_high"),
]
_DELTA_COLUMNS = [
    *("language", "trained", "n", *_DELTA_FIELDS, "p_holm"),
    *(f"{name}_{field}" for name in ("auc", "calibrated") for field in (*_DELTA_FIELDS, "p_holm")),
    "condition",
]


def _check_names(answers: Sequence[Answers]) -> None:
    names = [one.condition for one in answers]
    for name in names:
        if names.count(name) > 1:
            raise DataError(
                f"condition {name!r} occurs {names.count(name)} times among {names}: give each its own name"
            )


def _concat(tables: Sequence[pd.DataFrame], columns: Sequence[str]) -> pd.DataFrame:
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns))


def paired(base: Answers, other: Answers) -> Answers:
    """`other` with its rows in the order of `base`.

    Raises:
        DataError: a row without a partner, other labels, or another truth.
    """
    where = f"condition {other.condition!r} against {base.condition!r}"
    if other.labels != base.labels:
        raise DataError(f"{where}: labels {list(other.labels)}, expected {list(base.labels)} in this order")
    row_of = {key: row for row, key in enumerate(other.keys)}
    partners = set(base.keys)
    for missing_in, (language, id_) in [
        *((other.condition, key) for key in base.keys if key not in row_of),
        *((base.condition, key) for key in other.keys if key not in partners),
    ][:1]:
        raise DataError(
            f"{where}: language {language!r}, id {id_!r} has no partner in {missing_in!r}; "
            "a comparison needs the same examples: cache both with the same task, languages and limit"
        )
    order = np.array([row_of[key] for key in base.keys])
    paired = Answers(
        other.condition,
        other.labels,
        other.language[order],
        other.id[order],
        other.truth[order],
        other.logprob[order],
        None if other.prior is None else other.prior[order],
    )
    for row in np.flatnonzero(paired.truth != base.truth).tolist()[:1]:
        raise DataError(
            f"{where}: {base._name(row)} has truth "
            f"{base.labels[paired.truth[row]]!r}, the base has {base.labels[base.truth[row]]!r}; "
            "the two were made from different data"
        )
    return paired


def _group_mean(estimate: Estimate, inside: Bool[np.ndarray, " language"]) -> Estimate:
    """Mean over languages; a resample that leaves one language undefined is undefined."""
    return Estimate(np.asarray(estimate.value[inside].mean()), estimate.samples[:, inside].mean(axis=1))


def estimates(answers: Answers, draws: int, seed: int) -> dict[str, Estimate]:
    """QUANTITIES per language, from one set of draws over all ids so that languages and conditions stay paired.

    A language that lacks some ids uses the weights of those it has.
    """
    ids, position = np.unique(answers.id, return_inverse=True)
    # Whole counts keep every sum exact: results that are equal are then equal to the last bit, and 1 is 1.
    counts = np.rint(bootstrap_weights(len(ids), draws, seed) * len(ids))
    odds = _log_odds(answers.logprob)
    by_language = []
    for language in answers.languages:
        here = answers.language == language
        own = np.vstack([np.ones(here.sum()), counts[:, position[here]]])  # row 0: the data themselves
        right = np.stack([answers.correct[here], answers.correct_calibrated[here]], axis=1)
        accuracy, calibrated = _ratio(own @ right, own.sum(axis=1, keepdims=True).repeat(2, axis=1)).T
        by_language.append((accuracy, _weighted_auc(odds[here], answers.truth[here], own), calibrated))
    stacked = np.array(by_language)  # [language, quantity, 1 + draw]
    return {name: Estimate(stacked[:, q, 0], stacked[:, q, 1:].T) for q, name in enumerate(QUANTITIES)}


def _log_odds(logprob: Float[np.ndarray, "n k"]) -> Float[np.ndarray, "n score"]:
    """Score of each label against the rest: ranks as softmax does, without its ties at 0 and 1.

    Two labels have one score, that of the second: the first one's AUC is the same. Equal odds that different sums
    arrive at differ in their last bits; rounded, they tie.
    """
    logprob = logprob.astype(np.float64)
    if logprob.shape[1] == 2:
        return np.asarray((logprob[:, [1]] - logprob[:, [0]]).round(9))
    rest = [logsumexp(np.delete(logprob, label, axis=1), axis=1) for label in range(logprob.shape[1])]
    return np.asarray((logprob - np.stack(rest, axis=1)).round(9))


def _weighted_auc(
    odds: Float[np.ndarray, "n score"], truth: Int[np.ndarray, " n"], weights: Float[np.ndarray, "draw n"]
) -> Float[np.ndarray, " draw"]:
    """One-versus-rest AUC of each row of weights, mean over the labels that are both present and absent in it.

    AUC = P(score of a positive > score of a negative), ties counting one half (Mann and Whitney 1947). All
    positives are compared with all negatives once; a resample only weights the outcome.
    """
    total = np.zeros(len(weights))
    defined = np.zeros(len(weights))
    for column in range(odds.shape[1]):
        label = 1 if odds.shape[1] == 1 else column
        positive = truth == label
        gap = odds[positive, column][:, None] - odds[~positive, column][None, :]
        wins = (gap > 0) + 0.5 * (gap == 0)  # [positive, negative]
        w_positive, w_negative = weights[:, positive], weights[:, ~positive]
        pairs = w_positive.sum(axis=1) * w_negative.sum(axis=1)
        auc = _ratio(((w_positive @ wins) * w_negative).sum(axis=1), pairs)
        total += np.nan_to_num(auc)
        defined += np.isfinite(auc)
    return _ratio(total, defined)


def _ratio(above: Float[np.ndarray, "*shape"], below: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Return above / below; NaN where below is 0."""
    return np.asarray(np.divide(above, below, out=np.full(below.shape, np.nan), where=below > 0))
