"""The grid's tables: means over repeats, differences from base and control, averages over languages."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.accuracy import Answers, accuracy_delta_table, accuracy_table, label_prior
from babelscope.probes.grid import Cell, grid_delta_table, grid_group_table, grid_table, measure

LANGUAGES = ("en", "de", "sw", "hi", "fr", "th", "ja")
AGAINST = {"zh": ("base", "copy"), "copy": ("base",)}


def answers(seed: int, skill: float = 1.0, n: int = 40, bias: float = 0.0) -> Answers:
    rng = np.random.default_rng(seed)
    truth = np.tile(np.arange(n) % 2, len(LANGUAGES))
    logprob = rng.normal(size=(len(truth), 2))
    logprob[np.arange(len(truth)), truth] += skill
    logprob[:, 0] += bias
    ids = np.tile([f"q{i}" for i in range(n)], len(LANGUAGES))
    return Answers("x", ("no", "yes"), np.repeat(LANGUAGES, n), ids, truth, logprob)


def cells() -> list[Cell]:
    def cell(condition: str, trained: str, *repeats: Answers) -> Cell:
        return Cell("test", condition, f"on {condition}", frozenset(trained.split()), repeats)

    return [
        cell("base", "", answers(0)),
        cell("zh", "en de", *(answers(seed, 2.0) for seed in (1, 2, 3))),
        cell("copy", "de", answers(4)),
    ]


def test_grid_has_the_promised_columns_first() -> None:
    table = grid_table(measure(cells(), draws=200))
    promised = "train_set task language trained condition n accuracy ci_low ci_high auc accuracy_calibrated".split()  # noqa: SIM905
    assert list(table.columns[: len(promised)]) == promised
    assert len(table) == 3 * len(LANGUAGES)
    assert table[table["trained"]].groupby("condition")["language"].apply(list).to_dict() == {
        "zh": ["en", "de"],
        "copy": ["de"],
    }


def test_repeats_are_averaged_and_their_spread_is_shown() -> None:
    one = cells()[1]
    single = [accuracy_table([a], [], draws=10) for a in one.answers]
    table = grid_table(measure([one], draws=200))
    values = np.array([t["accuracy"] for t in single])
    np.testing.assert_allclose(table["accuracy"], values.mean(axis=0))
    np.testing.assert_allclose(table["accuracy_spread"], values.std(axis=0, ddof=1))
    assert (table["repeats"] == 3).all()
    assert grid_table(measure(cells()[:1], draws=50))["accuracy_spread"].isna().all()


def test_differences_agree_with_the_paired_table_where_nothing_is_repeated() -> None:
    base, _, copy = cells()
    delta = grid_delta_table(measure([base, copy], draws=500), AGAINST)
    paired = accuracy_delta_table(base.answers[0], [replace(copy.answers[0], condition="c")], [], draws=500)
    mine = delta[delta["quantity"] == "auc"]
    for ours, theirs in (
        ("delta", "auc_delta"),
        ("ci_low", "auc_ci_low"),
        ("p_value", "auc_p_value"),
        ("p_holm", "auc_p_holm"),
    ):
        np.testing.assert_allclose(mine[ours], paired[theirs])
    plain = delta[delta["quantity"] == "accuracy"]
    for column in ("delta", "p_value", "p_holm"):  # McNemar's, which single runs allow
        np.testing.assert_allclose(plain[column], paired[column])


def test_every_condition_is_compared_with_what_it_should_be() -> None:
    delta = grid_delta_table(measure(cells(), draws=50), AGAINST)
    assert set(zip(delta["condition"], delta["against"], strict=True)) == {
        ("zh", "base"),
        ("zh", "copy"),
        ("copy", "base"),
    }


def test_groups_resample_languages_too() -> None:
    """The interval over languages is wider than over questions alone, and a planted gain is found."""
    measured = measure(cells(), draws=2000)
    groups = grid_group_table(measured, AGAINST).set_index(["condition", "against", "group", "quantity"])
    unseen = groups.loc[("zh", "base", "unseen", "accuracy")]
    assert unseen["n_languages"] == 5
    delta = grid_delta_table(measured, AGAINST)
    own = delta[(delta["condition"] == "zh") & (delta["against"] == "base") & ~delta["trained"]]
    assert unseen["delta"] == pytest.approx(own[own["quantity"] == "accuracy"]["delta"].mean())
    assert unseen["ci_low"] > 0
    assert unseen["p_value"] >= 2.0 ** (1 - 5)  # five languages cannot say more
    fixed = measured[1].estimates["accuracy"].samples[:, 2:].mean(axis=1)
    fixed = fixed - measured[0].estimates["accuracy"].samples[:, 2:].mean(axis=1)
    assert unseen["ci_high"] - unseen["ci_low"] > np.subtract(*np.quantile(fixed, [0.975, 0.025]))
    assert groups.loc[("copy", "base", "seen", "accuracy"), "p_value"] == 1  # one language is no evidence


def test_equal_conditions_differ_by_nothing() -> None:
    base = cells()[0]
    twin = replace(base, condition="zh")
    tables = measure([base, twin], draws=100)
    assert (grid_delta_table(tables, AGAINST)["delta"] == 0).all()
    assert (grid_group_table(tables, AGAINST)["p_value"] == 1).all()


@pytest.mark.parametrize(("n", "repeats"), [(5, 3), (7, 7), (11, 5)])
def test_rounding_over_repeats_is_no_difference(n: int, repeats: int) -> None:
    """A mean of equal numbers may differ from them in the last bit."""
    base = Cell("test", "base", "none", frozenset(), (answers(0, n=n),))
    same = replace(base, condition="zh", answers=base.answers * repeats)
    groups = grid_group_table(measure([base, same], draws=500), AGAINST)
    assert (groups["delta"] == 0).all()
    assert (groups["p_value"] == 1).all()


def test_spread_is_of_differences_between_partners() -> None:
    """Demonstration seeds move base and adapter alike: what they share is no spread of the difference."""
    seeds = [answers(seed) for seed in (1, 2, 3)]
    base = Cell("test", "base", "none", frozenset(), tuple(seeds))
    same = replace(base, condition="zh")
    assert (grid_delta_table(measure([base, same], draws=50), AGAINST)["spread"] == 0).all()
    more = replace(base, condition="zh", answers=tuple(seeds + [answers(seed) for seed in (4, 5, 6)]))
    delta = grid_delta_table(measure([base, more], draws=50), AGAINST)
    ours, theirs = (
        np.array([accuracy_table([a], [], draws=2)["accuracy"] for a in cell.answers]) for cell in (more, base)
    )
    expected = (ours - np.tile(theirs, (2, 1))).std(axis=0, ddof=1)
    np.testing.assert_allclose(delta[delta["quantity"] == "accuracy"]["spread"], expected)


def test_unseen_is_unseen_by_both_sides() -> None:
    zh, copy = cells()[1], replace(cells()[2], trained=frozenset({"ja"}))
    groups = grid_group_table(measure([zh, copy], draws=50), {"zh": ("copy",)})
    counts = groups[groups["quantity"] == "accuracy"].set_index("group")["n_languages"].to_dict()
    assert counts == {"seen": 3, "unseen": 4, "all": 7}


def test_the_order_of_rows_does_not_matter() -> None:
    base = cells()[0]
    a = base.answers[0]
    back = np.arange(len(a.truth))[::-1]
    turned = replace(a, language=a.language[back], id=a.id[back], truth=a.truth[back], logprob=a.logprob[back])
    tables = measure([base, replace(base, condition="zh", answers=(turned,))], draws=50)
    assert (grid_delta_table(tables, AGAINST)["delta"] == 0).all()


def test_calibration_undoes_a_bias_that_the_prior_shows() -> None:
    """A planted preference for the first label: accuracy falls, AUC and calibrated accuracy do not."""
    plain, biased = answers(0, 2.0), answers(0, 2.0, bias=3.0)
    prior = np.tile(label_prior(np.array([[3.0, 0.0], [3.0, 0.0]])), (len(biased.truth), 1))
    corrected = replace(biased, prior=prior)
    one, two = (accuracy_table([a], [], draws=20) for a in (plain, corrected))
    assert two["accuracy"].mean() < one["accuracy"].mean() - 0.1
    np.testing.assert_allclose(two["accuracy_calibrated"], one["accuracy"])
    np.testing.assert_allclose(two["auc"], one["auc"])


def test_the_prior_is_the_mean_share() -> None:
    shares = np.array([[0.2, 0.8], [0.6, 0.4]])
    np.testing.assert_allclose(np.exp(label_prior(np.log(0.01 * shares))), [0.4, 0.6])


def test_conditions_that_answered_other_questions_are_refused() -> None:
    base = cells()[0]
    fewer = replace(base, condition="zh", answers=(answers(1, n=20),))
    with pytest.raises(DataError, match="has no partner in"):
        measure([base, fewer])
    with pytest.raises(DataError, match="occurs twice"):
        measure([base, base])


def test_tables_are_empty_for_the_base_alone() -> None:
    measured = measure(cells()[:1], draws=20)
    assert grid_delta_table(measured, {}).empty
    assert isinstance(grid_group_table(measured, {}), pd.DataFrame)
