"""What a linear classifier reads off the states of one layer: the language, and the label, also across languages.

`states` are float [language, id, d_model] of one layer and position; rows with the same id are translations of one
another. Folds are folds of *ids*: a text and its translations are never on both sides of a split.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.linalg import solve
from sklearn.model_selection import StratifiedKFold

from ..errors import DataError
from .paired_tables import BASE, Where, check_parallel, delta_table, require_base, value_table
from .statistics import Estimate, bootstrap_weights, mean_estimate

PROBES = ("language", "label_within", "label_from_pivot", "label_from_pivot_centred", "label_from_base")
CONTROLS = tuple(f"{probe}_control" for probe in PROBES)
SELECTIVITY = tuple(f"{probe}_selectivity" for probe in PROBES)
QUANTITIES = PROBES + CONTROLS

_TRANSFER = "label_from_pivot"  # what is called so is not of the pivot to itself

FOLDS = 5
_SHUFFLES = 5  # of a control's classes; their mean is reported
_VARIES = 1e-5  # spread below this share of the mean is rounding: float32 means cannot carry it


@dataclass(frozen=True)
class LinearMap:
    """Scores of states: (state - mean) @ weights + intercept, for one or several separate sets of states."""

    mean: Float[np.ndarray, "set 1 d_model"]
    weights: Float[np.ndarray, "set d_model target"]
    intercept: Float[np.ndarray, "set 1 target"]

    def __call__(
        self, states: Float[np.ndarray, "any row d_model"], mean: Float[np.ndarray, "any 1 d_model"] | None = None
    ) -> Float[np.ndarray, "any row target"]:
        """Scores of as many sets as there are fits, or of any number with one fit; `mean` replaces the fit's own."""
        return np.asarray((states - (self.mean if mean is None else mean)) @ self.weights + self.intercept)

    def of_set(self, index: int) -> "LinearMap":
        here = slice(index, index + 1)
        return LinearMap(self.mean[here], self.weights[here], self.intercept[here])


def fit_ridge(states: Float[np.ndarray, "set row d_model"], targets: Float[np.ndarray, "any row target"]) -> LinearMap:
    """Ridge regression of `targets` on standardised states in float32: one factorisation for all targets of a set.

    Features are centred and divided by their standard deviation over the rows (left out where they do not vary);
    targets are centred. The penalty is d_model, the mean squared length of a standardised state, so it follows neither
    the states' unit nor the number of rows. With one-hot targets and the highest score winning this is scikit-learn's
    `make_pipeline(StandardScaler(), RidgeClassifier(alpha=d_model))`.
    """
    n, d = states.shape[1:]
    mean = states.mean(axis=1, keepdims=True)
    x = states - mean
    scale = np.sqrt(np.einsum("snd,snd->sd", x, x)[:, None] / n)
    scale[scale <= _VARIES * np.abs(mean)] = np.inf  # leaves the feature out
    x /= scale
    intercept = targets.mean(axis=1, keepdims=True, dtype=np.float32)
    y, xt = targets.astype(np.float32) - intercept, x.swapaxes(1, 2)
    if n <= d:  # of two equal solutions the one with the smaller system
        weights = xt @ solve(x @ xt + d * np.eye(n, dtype=np.float32), y, assume_a="pos", check_finite=False)
    else:
        weights = solve(xt @ x + d * np.eye(d, dtype=np.float32), xt @ y, assume_a="pos", check_finite=False)
    return LinearMap(
        mean, weights / scale.swapaxes(1, 2), np.broadcast_to(intercept, (len(states), *intercept.shape[1:]))
    )


def id_folds(labels: Int[np.ndarray, " id"], folds: int, seed: int) -> list[np.ndarray]:
    """Ids [test] held out in each fold, alike in labels; fewer folds where a label has fewer ids than `folds`.

    Raises:
        DataError: one label only, or a label with a single id, which cannot be both learnt and tested.
    """
    counts = np.unique(labels, return_counts=True)[1]
    if len(counts) < 2 or counts.min() < 2:
        raise DataError(
            f"linear probes of {len(labels)} ids whose labels occur {', '.join(map(str, counts))} times: expected two "
            "labels or more, each with at least 2 ids, to learn from some and test on others; cache more examples"
        )
    splitter = StratifiedKFold(min(folds, int(counts.min())), shuffle=True, random_state=seed)
    return [test for _, test in splitter.split(labels, labels)]


def linear_probe_hits(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    labels: Int[np.ndarray, " id"],
    languages: Sequence[str],
    pivot: str = "en",
    seed: int = 0,
) -> dict[str, Float[np.ndarray, "language quantity id"]]:
    """Per condition, whether each held-out state is classified rightly: [language, quantity, id] in [0, 1].

    Quantities in the order of `QUANTITIES`; see `linear_probe_tables`. Classes that share the highest score share the
    credit, so states that do not vary score at chance; controls are the mean over several shufflings.

    Raises:
        DataError: malformed or unlike states, no condition `base`, the pivot is not among the languages, or see
            `id_folds`.
    """
    n_languages, n_ids, _ = check_parallel(states_by_condition, languages, "states")
    require_base(states_by_condition)
    if pivot not in languages:
        raise DataError(f"pivot {pivot!r} is not among the languages {list(languages)}: cache it too or name another")
    pivot_index = list(languages).index(pivot)
    splits = id_folds(labels, FOLDS, seed)
    label = _shuffled_labels(labels, splits, seed)
    spoken = _shuffled_languages(n_languages, n_ids, seed)
    # One shift for all, in float64, where sums of float32 values are exact: features that never vary become zero.
    shift = states_by_condition[BASE].mean(axis=(0, 1), dtype=np.float64)
    shifted = {name: (states - shift).astype(np.float32) for name, states in states_by_condition.items()}
    hits = {name: np.empty((n_languages, len(QUANTITIES), n_ids)) for name in shifted}
    for test in splits:
        train = np.setdiff1d(np.arange(n_ids), test)
        label_targets, spoken_targets = _one_hot(label[:, train]), _one_hot(spoken[:, train])
        within = {name: fit_ridge(states[:, train], label_targets) for name, states in shifted.items()}
        from_base = within[BASE].of_set(pivot_index)
        for name, states in shifted.items():
            unseen, from_pivot = states[:, test], within[name].of_set(pivot_index)
            rows, row_targets = (array.reshape(1, -1, array.shape[-1]) for array in (states[:, train], spoken_targets))
            language = fit_ridge(rows, row_targets)(unseen)
            credit = {
                "language": _credit(language, spoken[:, test]),
                "label_within": _credit(within[name](unseen), label[:, test]),
                "label_from_pivot": _credit(from_pivot(unseen), label[:, test]),
                "label_from_pivot_centred": _credit(from_pivot(unseen, within[name].mean), label[:, test]),
                "label_from_base": _credit(from_base(unseen), label[:, test]),
            }
            true = [credit[probe][:, :, 0] for probe in PROBES]
            shuffled = [credit[probe][:, :, 1:].mean(axis=2) for probe in PROBES]
            hits[name][:, :, test] = np.stack(true + shuffled, axis=1)
    return hits


def linear_probe_tables(
    states_by_condition: Mapping[str, Float[np.ndarray, "language id d_model"]],
    labels: Int[np.ndarray, " id"],
    languages: Sequence[str],
    layer: int,
    position: str,
    pivot: str = "en",
    draws: int = 5000,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Accuracy [0, 1] of linear probes on held-out ids: (values, deltas), see `paired_tables` for the columns.

    - `language`: which language a state is from; trained on all languages.
    - `label_within`: the label; trained on the same language.
    - `label_from_pivot`: the label of another language; trained on the pivot, read as it is.
    - `label_from_pivot_centred`: the same after moving each language's mean (over training ids) onto the pivot's, so
      that a shared direction counts despite an offset.
    - `label_from_base`: the label; trained on the pivot's states in the condition `base`. For the base itself it is
      `label_from_pivot`.
    - `..._control`: the same with shuffled classes (Hewitt and Liang, arXiv 1909.03368), labels per id and alike in all
      languages, languages within each id.
    - `..._selectivity`: accuracy less control, paired by id.

    The classifier is `fit_ridge`, cross-validated over ids, stratified by label. Intervals resample ids with the
    classifiers fixed; p-values are Holm-adjusted over languages. Controls have no differences.

    Args:
        labels: Class of each id, from 0.
        languages: Of the first axis of the states.
        pivot: The language whose classifier reads the others.
        draws: Bootstrap samples.
        seed: Of folds, shufflings and bootstrap.

    Raises:
        DataError: see `linear_probe_hits`.
    """
    hits = linear_probe_hits(states_by_condition, labels, languages, pivot, seed)
    weights = bootstrap_weights(len(labels), draws, seed)
    estimates = {name: mean_estimate(_with_selectivity(per_id), weights) for name, per_id in hits.items()}
    where: Where = {"layer": layer, "position": position}
    others = [language for language in languages if language != pivot]
    values, deltas = [], []
    for column, quantity in enumerate(QUANTITIES + SELECTIVITY):
        told = others if quantity.startswith(_TRANSFER) else list(languages)
        rows = [list(languages).index(language) for language in told]
        columns = [column]
        one = {
            name: Estimate(e.value[rows][:, columns], e.samples[:, rows][:, :, columns])
            for name, e in estimates.items()
        }
        values.append(value_table(one, told, [quantity], where))
        if quantity not in CONTROLS:
            deltas.append(delta_table(one, told, [quantity], where, len(labels)))
    return pd.concat(values, ignore_index=True), pd.concat(deltas, ignore_index=True)


def _with_selectivity(hits: Float[np.ndarray, "language quantity id"]) -> Float[np.ndarray, "language row id"]:
    """Rows of QUANTITIES, then SELECTIVITY."""
    true, control = np.split(hits, [len(PROBES)], axis=1)
    return np.concatenate([hits, true - control], axis=1)


def _shuffled_labels(
    labels: Int[np.ndarray, " id"], splits: Sequence[np.ndarray], seed: int
) -> Int[np.ndarray, "one id labelling"]:
    """The labels, then shuffled ones: within folds, which stay alike in labels; controls would else be below chance."""
    rng = np.random.default_rng(seed)
    shuffled = np.tile(labels[:, None], _SHUFFLES + 1)
    for s in range(1, _SHUFFLES + 1):
        for test in splits:
            shuffled[test, s] = rng.permutation(labels[test])
    return shuffled[None]


def _shuffled_languages(n_languages: int, n_ids: int, seed: int) -> Int[np.ndarray, "language id labelling"]:
    """The languages, then shuffled ones: another order of the languages for each id."""
    true = np.tile(np.arange(n_languages)[:, None, None], (n_ids, _SHUFFLES + 1))
    true[:, :, 1:] = np.random.default_rng(seed).permuted(true[:, :, 1:], axis=0)
    return true


def _one_hot(classes: Int[np.ndarray, "set id labelling"]) -> Float[np.ndarray, "set id target"]:
    """Targets [labelling x class] of each row."""
    return np.asarray(np.eye(classes.max() + 1, dtype=np.float32)[classes].reshape(*classes.shape[:2], -1))


def _credit(
    scores: Float[np.ndarray, "language id target"], classes: Int[np.ndarray, "set id labelling"]
) -> Float[np.ndarray, "language id labelling"]:
    """1 where the class has the highest score, shared between classes that tie, else 0."""
    by_class = scores.reshape(*scores.shape[:2], classes.shape[2], -1)
    best = by_class == by_class.max(axis=-1, keepdims=True)
    right = np.take_along_axis(best, np.broadcast_to(classes, by_class.shape[:-1])[..., None], axis=-1)[..., 0]
    return np.asarray(right / best.sum(axis=-1))
