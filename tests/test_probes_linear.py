"""Linear probes against scikit-learn, and on states where the answer was planted."""

import numpy as np
import pytest
from babelscope.errors import DataError
from babelscope.probes.linear import (
    CONTROLS,
    PROBES,
    QUANTITIES,
    SELECTIVITY,
    fit_ridge,
    id_folds,
    linear_probe_hits,
    linear_probe_tables,
)
from scipy.stats import bootstrap
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LANGUAGES = ("en", "de", "sw", "zh")
N = 200
LABELS = np.arange(N) % 2
D = 24


def noise(seed: int, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(4, N, D), scale=scale)


def planted(directions: np.ndarray, seed: int = 0) -> np.ndarray:
    """Noise, an offset for each language, and the label along `directions` [language or 1, d_model]."""
    offset = np.random.default_rng(99).normal(size=(4, 1, D)) * (np.arange(D) >= 12)
    signal = np.where(LABELS, 3.0, -3.0)[None, :, None] * directions[:, None, :]
    return (noise(seed) + offset + signal).astype(np.float32)


def accuracy(states: np.ndarray, labels: np.ndarray = LABELS, **others: np.ndarray) -> dict[str, np.ndarray]:
    """Quantity -> [language] in the last condition."""
    hits = linear_probe_hits({"base": states, **others}, labels, LANGUAGES)
    *_, last = hits.values()
    return {quantity: last[:, q].mean(axis=-1) for q, quantity in enumerate(QUANTITIES)}


def axes(*numbers: int) -> np.ndarray:
    return np.eye(D)[list(numbers)]


@pytest.mark.parametrize(("rows", "d"), [(40, 9), (20, 33)])  # either of the two systems that may be solved
def test_the_classifier_is_that_of_scikit_learn(rows: int, d: int) -> None:
    rng = np.random.default_rng(0)
    states = (rng.normal(size=(3, rows, d)) * 10.0 ** np.arange(-4, d - 4).clip(-4, 4)).astype(np.float32)
    states[:, :, 0] = 7.0  # does not vary
    classes = rng.integers(3, size=rows)
    found = fit_ridge(states, np.eye(3, dtype=np.float32)[classes][None])(states)
    for own, scores in zip(states, found, strict=True):
        model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=d)).fit(own.astype(np.float64), classes)
        np.testing.assert_allclose(2 * scores - 1, model.decision_function(own.astype(np.float64)), atol=2e-4)


def test_cross_validation_is_that_of_scikit_learn() -> None:
    states = planted(axes(0) * 0.2)
    hits = linear_probe_hits({"base": states}, LABELS, LANGUAGES)["base"]
    splits = id_folds(LABELS, 5, seed=0)
    splits = [(np.setdiff1d(np.arange(N), test), test) for test in splits]
    model = make_pipeline(StandardScaler(), RidgeClassifier(alpha=D))
    for i in range(4):
        predicted = cross_val_predict(model, states[i], LABELS, cv=splits)
        np.testing.assert_array_equal(hits[i, QUANTITIES.index("label_within")], predicted == LABELS)
    assert 0.5 < hits[:, QUANTITIES.index("label_within")].mean() < 0.95  # not so easy that anything would agree


def test_a_shared_direction_transfers() -> None:
    found = accuracy(planted(axes(0)))
    for quantity in ("label_within", "label_from_pivot", "label_from_pivot_centred", "language"):
        assert found[quantity].min() > 0.85, quantity


def test_any_language_may_be_the_pivot() -> None:
    """Rows in another order, and the pivot with them, give the same."""
    states, order = planted(axes(0, 0, 1, 1)), [2, 3, 0, 1]
    hits = linear_probe_hits({"base": states}, LABELS, LANGUAGES, "sw")["base"]
    turned = linear_probe_hits({"base": states[order]}, LABELS, [LANGUAGES[i] for i in order], "sw")["base"]
    of_label = [q for q, name in enumerate(QUANTITIES) if "label" in name]
    np.testing.assert_array_equal(hits[order][:, of_label], turned[:, of_label])
    transfer = hits[:, QUANTITIES.index("label_from_pivot")].mean(axis=-1)
    assert transfer[2:].min() > 0.9 > 0.75 > transfer[:2].max()


def test_directions_of_their_own_do_not_transfer() -> None:
    found = accuracy(planted(axes(0, 1, 2, 3)))
    assert found["label_within"].min() > 0.9
    for quantity in ("label_from_pivot", "label_from_pivot_centred"):
        assert found[quantity][0] > 0.9
        assert np.abs(found[quantity][1:] - 0.5).max() < 0.25, quantity


def test_an_offset_along_the_direction_is_told_from_another_direction() -> None:
    moved = planted(axes(0)) + np.array([0, 20, 20, 20])[:, None, None] * axes(0)[0]
    found = accuracy(moved.astype(np.float32))
    np.testing.assert_allclose(found["label_from_pivot"][1:], 0.5)  # all are given one label
    assert found["label_from_pivot_centred"].min() > 0.9


def test_controls_are_at_chance_where_the_probe_is_perfect() -> None:
    found = accuracy(planted(axes(0)))
    for control, chance in zip(CONTROLS, (0.25, 0.5, 0.5, 0.5, 0.5), strict=True):
        assert np.abs(found[control].mean() - chance) < 0.1, control
        assert found[control.removesuffix("_control")].mean() > 0.9


def test_what_can_only_be_memorised_does_not_help() -> None:
    """A code of each id, the same in all languages: splits of rows, instead of ids, would score 1 with it."""
    code = np.random.default_rng(5).normal(size=(1, N, 400)) * 10
    states = (code + np.random.default_rng(6).normal(size=(4, N, 400)) * 0.1).astype(np.float32)
    found = accuracy(states)
    for quantity in ("label_within", "label_from_pivot"):
        assert np.abs(found[quantity].mean() - 0.5) < 0.2, quantity
    rows, labels = states.reshape(4 * N, 400), np.tile(LABELS, 4)
    leaking = make_pipeline(StandardScaler(), RidgeClassifier(alpha=400))
    order = np.random.default_rng(0).permutation(4 * N)
    assert (cross_val_predict(leaking, rows[order], labels[order], cv=5) == labels[order]).mean() > 0.95


def test_the_base_reads_the_aligned_states_where_the_direction_stayed() -> None:
    base, same, turned = planted(axes(0)), planted(axes(0), seed=1), planted(axes(7), seed=1)
    assert accuracy(base, aligned=same)["label_from_base"].min() > 0.9
    found = accuracy(base, aligned=turned)
    assert found["label_from_pivot"].min() > 0.9
    assert np.abs(found["label_from_base"] - 0.5).max() < 0.25
    alone = accuracy(base)
    np.testing.assert_array_equal(alone["label_from_base"], alone["label_from_pivot"])


def test_states_that_never_vary_are_at_chance() -> None:
    same = np.tile(np.float32([0.1, 1e5, -3.3]), (4, N, 1))
    found = accuracy(same)
    for quantity in QUANTITIES:
        np.testing.assert_allclose(found[quantity], 0.25 if "language" in quantity else 0.5)


def test_tables_have_intervals_and_paired_differences() -> None:
    base, aligned = planted(axes(0) * 0.15), planted(axes(0))
    values, deltas = linear_probe_tables({"base": base, "aligned": aligned}, LABELS, LANGUAGES, 7, "last", draws=400)
    own = {"language", "label_within", "label_from_base"}  # the pivot's transfer to itself is no transfer
    of_pivot = values.loc[values["language"] == "en", "quantity"]
    assert set(of_pivot.str.removesuffix("_control").str.removesuffix("_selectivity")) == own
    assert len(values) == 2 * (4 * len(QUANTITIES + SELECTIVITY) - 6)
    assert len(deltas) == 2 * (4 * len(PROBES) - 2)
    assert (values["ci_low"] <= values["value"]).all()
    assert (values["value"] <= values["ci_high"]).all()
    transfer = deltas[deltas["quantity"] == "label_from_pivot"]
    assert (transfer["delta"] > 0.2).all()
    assert (transfer["p_holm"] < 0.05).all()
    control = values[values["quantity"] == "label_from_pivot_control"]
    assert (control["ci_low"] < 0.5).all()


def test_selectivity_is_accuracy_less_control_by_id() -> None:
    states = {"base": planted(axes(0) * 0.15), "aligned": planted(axes(0))}
    values, deltas = linear_probe_tables(states, LABELS, LANGUAGES, 7, "last", draws=400)
    by_quantity = values.set_index(["condition", "language", "quantity"])
    hits = linear_probe_hits(states, LABELS, LANGUAGES)["aligned"][2]  # sw
    for probe in PROBES:
        found = by_quantity.loc[("aligned", "sw", f"{probe}_selectivity")]
        true, control = (by_quantity.loc[("aligned", "sw", name), "value"] for name in (probe, f"{probe}_control"))
        assert found["value"] == pytest.approx(true - control)
        per_id = hits[QUANTITIES.index(probe)] - hits[QUANTITIES.index(f"{probe}_control")]
        ends = bootstrap((per_id,), np.mean, method="percentile", n_resamples=999, rng=0).confidence_interval
        assert (found["ci_low"], found["ci_high"]) == pytest.approx((ends.low, ends.high), abs=0.02)
        gain = deltas.set_index(["language", "quantity"]).loc[("sw", f"{probe}_selectivity")]
        assert gain["aligned"] == found["value"]


def test_folds_hold_every_id_once_and_are_alike_in_labels() -> None:
    labels = np.array([0] * 7 + [1] * 13 + [2] * 4)
    splits = id_folds(labels, 5, seed=3)
    assert len(splits) == 4  # the rarest label has 4 ids
    np.testing.assert_array_equal(np.sort(np.concatenate(splits)), np.arange(24))
    assert all((labels[test] == 2).sum() == 1 for test in splits)


def test_malformed_input_is_refused() -> None:
    states = planted(axes(0))
    with pytest.raises(DataError, match="labels occur 199, 1 times: expected two labels or more, each with at least 2"):
        accuracy(states, np.array([0] * 199 + [1]))
    with pytest.raises(DataError, match="labels occur 200 times"):
        accuracy(states, np.zeros(N, dtype=int))
    with pytest.raises(DataError, match="pivot 'en' is not among the languages"):
        linear_probe_hits({"base": states}, LABELS, ("a", "b", "c", "d"))
    with pytest.raises(DataError, match="no condition is called 'base'"):
        linear_probe_hits({"other": states}, LABELS, LANGUAGES)
