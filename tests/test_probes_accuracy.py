"""Accuracy and AUC tables, against scikit-learn and rows resampled by hand."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.accuracy import (
    Answers,
    accuracy_delta_table,
    accuracy_group_table,
    accuracy_table,
    estimates,
    predicted_share_table,
)
from babelscope.probes.statistics import bootstrap_weights, mcnemar_exact
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

DELTA_COLUMNS = [
    "language",
    "trained",
    "n",
    "base",
    "aligned",
    "delta",
    "ci_low",
    "ci_high",
    "p_value",
    "p_holm",
    "auc_base",
    "auc_aligned",
    "auc_delta",
    "auc_ci_low",
    "auc_ci_high",
    "auc_p_value",
    "auc_p_holm",
    "calibrated_base",
    "calibrated_aligned",
    "calibrated_delta",
    "calibrated_ci_low",
    "calibrated_ci_high",
    "calibrated_p_value",
    "calibrated_p_holm",
    "condition",
]


def make(
    condition: str = "base",
    languages: tuple[str, ...] = ("en", "de", "sw"),
    n: int = 40,
    labels: tuple[str, ...] = ("negative", "positive"),
    skill: float = 1.0,
    seed: int = 0,
    decimals: int = 1,
) -> Answers:
    """Answers whose logprob of the truth is raised by `skill`; rounding makes ties."""
    rng = np.random.default_rng(seed)
    truth = np.tile(np.arange(n) % len(labels), len(languages))
    logprob = rng.normal(size=(len(truth), len(labels)))
    logprob[np.arange(len(truth)), truth] += skill
    return Answers(
        condition,
        labels,
        np.repeat(languages, n),
        np.tile([f"q{i}" for i in range(n)], len(languages)),
        truth,
        np.round(logprob, decimals),
    )


def reorder(answers: Answers, rows: np.ndarray) -> Answers:
    return Answers(
        answers.condition,
        answers.labels,
        answers.language[rows],
        answers.id[rows],
        answers.truth[rows],
        answers.logprob[rows],
    )


def with_fields(answers: Answers, **fields: object) -> Answers:
    return Answers(**{**vars(answers), **fields})


# ---- records


def test_answers_predict_the_likeliest_label() -> None:
    answers = Answers(
        "base",
        ("no", "yes"),
        np.array(["en", "en", "de"], dtype=object),
        np.array(["a", "b", "a"], dtype=object),
        np.array([1, 1, 0]),
        np.log([[0.1, 0.9], [0.8, 0.2], [0.5, 0.5]]),
    )
    assert answers.predicted.tolist() == [1, 0, 0]  # the first of equal ones
    assert answers.correct.tolist() == [True, False, True]
    assert answers.languages == ["en", "de"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"truth": np.array([0, 2] * 60)}, r"'base', language 'en', id 'q1': truth 2, expected 0 to 1"),
        ({"truth": np.zeros(3, dtype=int)}, r"truth of shape \(3,\)"),
        ({"id": np.array(["a"])}, "1 ids"),
        ({"id": np.full(120, "a")}, "language 'en', id 'a': occurs twice"),
        ({"labels": ("yes", "yes")}, "two different"),
        ({"logprob": np.full((120, 2), -np.inf)}, "id 'q0': logprob .* not finite"),
        ({"language": np.array([], dtype=str)}, "there are none"),
    ],
)
def test_malformed_answers_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        with_fields(make(), **fields)


# ---- AUC


@pytest.mark.parametrize("labels", [("a", "b"), ("a", "b", "c"), ("a", "b", "c", "d")])
def test_auc_equals_sklearn_with_and_without_weights(labels: tuple[str, ...]) -> None:
    answers = make(labels=labels, n=48)
    assert len(np.unique(answers.logprob[:, 1] - answers.logprob[:, 0])) < len(answers.truth)  # there are ties
    auc = estimates(answers, 20, 7)["auc"]
    weights = bootstrap_weights(48, 20, 7)
    ids = np.unique(answers.id)
    for i, language in enumerate(answers.languages):
        here = answers.language == language
        # Rounded as scores of equal log-odds must tie in sklearn too.
        score = softmax(answers.logprob[here], axis=1).round(9)
        args = (answers.truth[here], score[:, 1] if len(labels) == 2 else score)
        options = {"multi_class": "ovr", "labels": None if len(labels) == 2 else np.arange(len(labels))}
        assert auc.value[i] == pytest.approx(roc_auc_score(*args, **options), abs=1e-9)
        for draw in range(20):
            w = weights[draw, np.searchsorted(ids, answers.id[here])]
            expected = roc_auc_score(*args, sample_weight=w, **options)
            assert auc.samples[draw, i] == pytest.approx(expected, abs=1e-9)


def test_auc_of_many_labels_does_not_saturate() -> None:
    """Softmax of logits this far apart is exactly 0 or 1, a tie; the log-odds still rank."""
    truth = np.array([0, 1, 2, 0, 1, 2])
    logprob = np.where(np.arange(3) == truth[:, None], 0.0, -1000.0) - np.arange(6)[:, None]
    answers = Answers("base", ("a", "b", "c"), np.full(6, "en"), np.arange(6).astype(str), truth, logprob)
    assert accuracy_table([answers], [])["auc"].item() == 1


def test_auc_is_undefined_with_one_true_label() -> None:
    answers = with_fields(make(n=6), truth=np.array([1] * 6 + [0, 1] * 6))
    table = accuracy_table([answers], []).set_index("language")
    assert table.loc["en", ["auc", "auc_ci_low", "auc_ci_high"]].isna().all()
    assert table.loc["de", ["auc", "auc_ci_low", "auc_ci_high"]].notna().all()
    deltas = accuracy_delta_table(answers, [with_fields(answers, condition="aligned")], []).set_index("language")
    assert np.isnan(deltas.loc["en", "auc_p_holm"])
    assert deltas.loc["de", "auc_p_holm"] == 1
    groups = accuracy_group_table(answers, [with_fields(answers, condition="aligned")], ["en"])
    assert groups.set_index(["group", "quantity"])["n_languages"].to_dict() == {
        ("all", "accuracy"): 3,
        ("all", "auc"): 2,
        ("all", "calibrated"): 3,
        ("trained", "calibrated"): 1,
        ("untrained", "calibrated"): 2,
        ("trained", "accuracy"): 1,  # and no AUC: English has none
        ("untrained", "accuracy"): 2,
        ("untrained", "auc"): 2,
    }


# ---- tables of values


def test_accuracy_table() -> None:
    answers, aligned = make(), make("aligned", skill=3, seed=1)
    table = accuracy_table([answers, aligned], trained={"de"})
    assert list(table) == [
        "language",
        "condition",
        "trained",
        "n",
        "accuracy",
        "ci_low",
        "ci_high",
        "auc",
        "auc_ci_low",
        "auc_ci_high",
        "accuracy_calibrated",
        "calibrated_ci_low",
        "calibrated_ci_high",
    ]
    assert table["language"].tolist() == ["en", "de", "sw"] * 2
    assert table["trained"].tolist() == [False, True, False] * 2
    assert table["n"].eq(40).all()
    expected = [a.correct[a.language == la].mean() for a in (answers, aligned) for la in a.languages]
    np.testing.assert_allclose(table["accuracy"], expected)
    assert (table["ci_low"] < table["accuracy"]).all()
    assert (table["accuracy"] <= table["ci_high"]).all()
    assert (table["auc_ci_low"] <= table["auc"]).all()
    assert (table["auc"] <= table["auc_ci_high"]).all()


def test_order_of_rows_does_not_matter() -> None:
    base, aligned = make(), make("aligned", seed=1)
    rows = np.random.default_rng(0).permutation(len(base.truth))
    first = accuracy_delta_table(base, [aligned], [])
    second = accuracy_delta_table(base, [reorder(aligned, rows)], [])
    pd.testing.assert_frame_equal(first, second)
    third = accuracy_delta_table(reorder(base, rows), [aligned], [])
    pd.testing.assert_frame_equal(
        first.sort_values("language", ignore_index=True), third.sort_values("language", ignore_index=True)
    )


def test_all_right_and_all_the_same() -> None:
    right = make(skill=100)
    table = accuracy_table([right], [])
    assert table["accuracy"].eq(1).all()
    assert table["ci_high"].eq(1).all()
    assert table["ci_low"].lt(1).all()
    assert table["auc"].eq(1).all()
    assert table["auc_ci_low"].eq(1).all()
    constant = with_fields(make(), logprob=np.tile([-2.0, -1.0], (120, 1)))
    table = accuracy_table([constant], [])
    assert table["accuracy"].eq(0.5).all()
    assert table["auc"].eq(0.5).all()
    assert table["auc_ci_high"].eq(0.5).all()
    share = predicted_share_table([constant]).set_index(["language", "label"])
    assert share.loc[("en", "positive"), ["share", "true_share"]].tolist() == [1, 0.5]
    assert share.loc[("en", "negative"), "ci_high"] > 0


def test_shares_sum_to_one() -> None:
    table = predicted_share_table([make(labels=("a", "b", "c"), n=30)])
    assert list(table) == ["language", "condition", "label", "share", "ci_low", "ci_high", "true_share"]
    np.testing.assert_allclose(table.groupby("language")[["share", "true_share"]].sum(), 1)
    assert (table["ci_low"] <= table["share"]).all()
    assert (table["share"] <= table["ci_high"]).all()


def test_single_example() -> None:
    one = make(n=1, languages=("en",), skill=-9)
    table = accuracy_table([one], [])
    assert table["accuracy"].item() == 0
    assert table["ci_high"].item() > 0.7
    assert np.isnan(table["auc"].item())
    better = with_fields(one, condition="aligned", logprob=-one.logprob)
    delta = accuracy_delta_table(one, [better], [])
    assert delta["delta"].item() == 1
    assert delta["p_value"].item() == 1
    group = accuracy_group_table(one, [better], [])
    assert group.loc[group["quantity"] == "accuracy", "p_value"].eq(1).all()


# ---- differences


def test_delta_table_against_hand_work() -> None:
    base, aligned, copy = make(), make("aligned", skill=3, seed=1), make("copy", seed=2)
    table = accuracy_delta_table(base, [aligned, copy], trained=["de"], draws=300, seed=4)
    assert list(table) == DELTA_COLUMNS
    assert table["condition"].tolist() == ["aligned"] * 3 + ["copy"] * 3
    weights = bootstrap_weights(40, 300, 4)
    ids = np.unique(base.id)
    for row in table.itertuples():
        other = aligned if row.condition == "aligned" else copy
        here = base.language == row.language
        gain = other.correct[here].astype(float) - base.correct[here]
        assert row.delta == pytest.approx(gain.mean()) == pytest.approx(row.aligned - row.base)
        samples = weights[:, np.searchsorted(ids, base.id[here])] @ gain
        np.testing.assert_allclose([row.ci_low, row.ci_high], np.quantile(samples, [0.025, 0.975]), atol=1e-9)
        assert row.p_value == pytest.approx(mcnemar_exact(base.correct[here], other.correct[here]))
        assert row.p_holm >= row.p_value
        assert row.auc_p_holm >= row.auc_p_value
        assert row.auc_delta == pytest.approx(row.auc_aligned - row.auc_base)
    assert table.loc[table["condition"] == "aligned", "delta"].mean() > 0.1


def test_no_change_is_no_difference() -> None:
    base = make()
    table = accuracy_delta_table(base, [with_fields(base, condition="aligned")], [])
    columns = ["delta", "ci_low", "ci_high", "auc_delta", "auc_ci_low", "auc_ci_high"]
    assert table[columns].eq(0).all(axis=None)
    assert table[["p_value", "p_holm", "auc_p_value", "auc_p_holm"]].eq(1).all(axis=None)


def test_no_other_condition_gives_an_empty_table() -> None:
    assert list(accuracy_delta_table(make(), [], [])) == DELTA_COLUMNS
    assert accuracy_group_table(make(), [], []).empty


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: reorder(a, np.arange(1, 120)), "language 'en', id 'q0' has no partner in 'aligned'"),
        (lambda a: with_fields(a, truth=1 - a.truth), "id 'q0' has truth 'positive', the base has 'negative'"),
        (lambda a: with_fields(a, labels=("positive", "negative")), "labels .* in this order"),
        (lambda a: with_fields(a, condition="base"), "'base' occurs 2 times"),
    ],
)
def test_what_cannot_be_compared_is_refused(change, message: str) -> None:
    for compare in (accuracy_delta_table, accuracy_group_table):
        with pytest.raises(DataError, match=message):
            compare(make(), [change(make("aligned"))], [])


def test_surplus_rows_are_refused_too() -> None:
    with pytest.raises(DataError, match="id 'q0' has no partner in 'base'"):
        accuracy_delta_table(reorder(make(), np.arange(1, 120)), [make("aligned")], [])


def test_groups_are_means_over_languages_with_ids_resampled_jointly() -> None:
    base, aligned = make(), make("aligned", skill=3, seed=1)
    table = accuracy_group_table(base, [aligned], trained=["de"], draws=500, seed=2)
    single = accuracy_delta_table(base, [aligned], ["de"], draws=500, seed=2).set_index("language")
    groups = table.set_index(["group", "quantity"])
    assert table["group"].drop_duplicates().tolist() == ["all", "trained", "untrained"]
    assert groups.loc[("untrained", "accuracy"), "delta"] == pytest.approx(single.loc[["en", "sw"], "delta"].mean())
    assert groups.loc[("all", "auc"), "base"] == pytest.approx(single["auc_base"].mean())
    one = groups.loc[("trained", "accuracy"), ["ci_low", "ci_high"]].astype(float)
    np.testing.assert_allclose(one, single.loc["de", ["ci_low", "ci_high"]].astype(float))
    gain = (aligned.correct.astype(float) - base.correct).reshape(3, 40).mean(axis=0)  # mean over languages of each id
    samples = bootstrap_weights(40, 500, 2) @ gain[np.argsort(base.id[:40])]
    low, high = np.quantile(samples, [0.025, 0.975])
    assert groups.loc[("all", "accuracy"), "ci_low"] == pytest.approx(low)
    assert groups.loc[("all", "accuracy"), "ci_high"] == pytest.approx(high)


def test_copies_of_a_language_add_no_certainty() -> None:
    """The same answers under three names: the group's interval must be that of one language."""
    languages = ("en", "de", "sw")
    one, other = make(languages=("en",)), make("aligned", languages=("en",), skill=2, seed=1)
    tripled = [
        Answers(
            a.condition,
            a.labels,
            np.repeat(languages, 40),
            np.tile(a.id, 3),
            np.tile(a.truth, 3),
            np.tile(a.logprob, (3, 1)),
        )
        for a in (one, other)
    ]
    columns = ["base", "aligned", "delta", "ci_low", "ci_high", "p_value"]
    alone = accuracy_group_table(one, [other], [])
    together = accuracy_group_table(tripled[0], [tripled[1]], [])
    np.testing.assert_allclose(
        together.loc[together["group"] == "all", columns], alone.loc[alone["group"] == "all", columns], atol=1e-12
    )


def test_empty_groups_are_left_out() -> None:
    everywhere = accuracy_group_table(make(), [make("aligned", seed=1)], trained=["en", "de", "sw"])
    assert set(everywhere["group"]) == {"all", "trained"}
    assert set(accuracy_group_table(make(), [make("aligned", seed=1)], [])["group"]) == {"all", "untrained"}


def test_languages_may_hold_different_ids() -> None:
    rows = np.r_[0:40, 50:80]
    table = accuracy_delta_table(reorder(make(), rows), [reorder(make("aligned", seed=1), rows)], [])
    assert table["n"].tolist() == [40, 30]
    assert table.notna().all(axis=None)


def test_tests_keep_their_size_on_null_data() -> None:
    """300 languages of 60 questions each, base and aligned equally able: AUC rejects near 5%, McNemar at most."""
    languages = tuple(f"l{i}" for i in range(300))
    base, aligned = (make(c, languages, n=60, seed=s, decimals=6) for c, s in (("base", 11), ("aligned", 12)))
    table = accuracy_delta_table(base, [aligned], [], draws=500)
    auc, accuracy = (int((table[p] <= 0.05).sum()) for p in ("auc_p_value", "p_value"))
    assert binomtest(auc, 300, 0.055).pvalue > 0.001
    assert binomtest(accuracy, 300, 0.05, alternative="greater").pvalue > 0.001
    assert accuracy > 0
