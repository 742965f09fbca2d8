"""Repair patching and transplants on answers whose outcome is planted."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.log_odds import right_log_odds
from babelscope.probes.repair import OTHER_LABEL, PARALLEL, SAME_LABEL, donors, repair_changes, repair_tables
from scipy.special import softmax

LANGUAGES = ("de", "sw")
TRUTH = np.tile([0, 1], 10)


def said(labels: np.ndarray, sure: float = 1.0) -> np.ndarray:
    """Log-probabilities [..., 2] of a model that says `labels`."""
    return np.where(np.arange(2) == labels[..., None], -np.log1p(np.exp(-sure)), -np.log1p(np.exp(sure)))


def planted() -> tuple[pd.DataFrame, pd.DataFrame]:
    """German answers 8 of 20 wrongly. At layer 1 no patch does anything; at layer 2 the answer is the donor's label,
    but in Swahili the parallel state alone reads so, and others leave things as they were."""
    truth = np.stack([TRUTH, TRUTH])
    plain = truth.copy()
    plain[:, :8] = 1 - plain[:, :8]
    given = donors(TRUTH, seed=3)
    layers = {source: np.stack([plain, np.stack([TRUTH[of], plain[1]])]) for source, of in given.items()}
    layers[PARALLEL][1, 1] = TRUTH
    patched = {source: said(answers) for source, answers in layers.items()}
    return repair_tables(said(plain), patched, truth, LANGUAGES, (1, 2), {"position": "last"}, draws=500)


def number(table: pd.DataFrame, column: str, **where: object) -> float:
    rows = table
    for name, value in where.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return float(rows[column].iloc[0])


def test_log_odds_equal_the_formula() -> None:
    logprob = np.random.default_rng(0).normal(size=(4, 5, 3))
    truth = np.random.default_rng(1).integers(0, 3, size=(4, 5))
    share = np.take_along_axis(softmax(logprob, axis=-1), truth[..., None], -1)[..., 0]
    np.testing.assert_allclose(right_log_odds(logprob, truth), np.log(share / (1 - share)))


def test_donors_are_what_they_are_called() -> None:
    truth = np.array([0, 1, 1, 0, 2, 2, 0])
    given = donors(truth, seed=1)
    assert (given[PARALLEL] == np.arange(7)).all()
    assert (truth[given[SAME_LABEL]] == truth).all()
    assert (given[SAME_LABEL] != np.arange(7)).all()
    assert sorted(given[SAME_LABEL]) == list(range(7))
    assert (truth[given[OTHER_LABEL]] != truth).all()
    with pytest.raises(DataError, match="needs two questions of each label and two labels; of 3 ids, 1 have label"):
        donors(np.array([0, 0, 1]), seed=0)
    with pytest.raises(DataError, match="two labels"):
        donors(np.array([1, 1, 1]), seed=0)


def test_what_a_patch_repairs_and_breaks() -> None:
    values, _ = planted()
    for source in (PARALLEL, SAME_LABEL, OTHER_LABEL):
        for quantity, n in (("repaired", 8), ("broken", 12), ("log_odds_gain", 20)):
            where = {"language": "de", "source": source, "quantity": quantity}
            assert number(values, "value", layer=1, **where) == 0
            assert number(values, "n", layer=1, **where) == n
    found = {
        (source, quantity): number(values, "value", language="de", layer=2, source=source, quantity=quantity)
        for source in (PARALLEL, OTHER_LABEL)
        for quantity in ("repaired", "broken", "log_odds_gain")
    }
    assert found[PARALLEL, "repaired"] == found[OTHER_LABEL, "broken"] == 1
    assert found[PARALLEL, "broken"] == found[OTHER_LABEL, "repaired"] == 0
    assert found[PARALLEL, "log_odds_gain"] == pytest.approx(8 * 2 / 20)  # from -1 to 1 nat in 8 of 20
    assert found[OTHER_LABEL, "log_odds_gain"] == pytest.approx(-12 * 2 / 20)


def test_a_label_is_told_from_a_question() -> None:
    _, deltas = planted()
    where = {"layer": 2, "quantity": "repaired"}
    assert number(deltas, "delta", language="de", against=SAME_LABEL, **where) == 0  # the label did it
    assert number(deltas, "p_value", language="de", against=SAME_LABEL, **where) == 1
    assert number(deltas, "delta", language="sw", against=SAME_LABEL, **where) == 1
    assert number(deltas, "p_holm", language="sw", against=SAME_LABEL, **where) < 0.05
    assert number(deltas, "delta", language="all", against=SAME_LABEL, **where) == 0.5
    assert number(deltas, "n", language="all", against=SAME_LABEL, **where) == 16
    assert number(deltas, "delta", language="de", against=OTHER_LABEL, **where) == 1


def test_a_change_is_between_the_shares_of_each_condition() -> None:
    """The base answers 8 of 20 wrongly in German and the adapted model 4; the parallel state mends all of its, half of
    the base's and, in both, none in Swahili."""
    truth = np.stack([TRUTH, TRUTH])
    base, aligned = truth.copy(), truth.copy()
    base[:, :8], aligned[:, :4] = 1 - base[:, :8], 1 - aligned[:, :4]
    mended, whole = base.copy(), aligned.copy()
    mended[0, :4], whole[0] = TRUTH[:4], TRUTH
    plain = {"base": said(base), "aligned": said(aligned)}
    patched = {"base": {PARALLEL: said(mended)[None]}, "aligned": {PARALLEL: said(whole)[None]}}
    changes = repair_changes(plain, patched, truth, LANGUAGES, (3,), {"position": "last"}, draws=500)
    repaired = changes[changes["quantity"] == "repaired"].set_index("language")
    assert repaired[["base", "aligned", "delta"]].to_numpy().tolist() == [[0.5, 1, 0.5], [0, 0, 0], [0.25, 0.5, 0.25]]
    assert repaired.loc["de", "p_value"] >= 2.0 ** (1 - 4)  # four ids are what it rests on
    assert repaired.loc["sw", ["ci_low", "ci_high", "p_value"]].tolist() == [0, 0, 1]
    gain = changes[changes["quantity"] == "log_odds_gain"].set_index("language").loc["de"]
    assert gain[["delta", "ci_low", "ci_high", "p_value"]].tolist() == [
        0,
        0,
        0,
        1,
    ]  # the same answers by 2 nats in both
    alone = {"base": plain["base"]}
    assert repair_changes(alone, patched, truth, LANGUAGES, (3,), {}, draws=50).empty
    with pytest.raises(DataError, match="no condition is called 'base'"):
        repair_changes({"aligned": plain["aligned"]}, patched, truth, LANGUAGES, (3,), {})


def test_without_wrong_answers_nothing_is_said() -> None:
    truth = TRUTH[None]
    patched = {source: said(truth)[None] for source in donors(TRUTH, 0)}
    values, deltas = repair_tables(said(truth), patched, truth, ["de"], [1], {}, draws=50)
    assert np.isnan(number(values, "value", language="de", source=PARALLEL, quantity="repaired"))
    assert np.isnan(number(deltas, "p_holm", language="de", against=SAME_LABEL, quantity="repaired"))
    assert number(values, "value", language="de", source=PARALLEL, quantity="broken") == 0
