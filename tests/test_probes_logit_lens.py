"""Tables of lens scores."""

import numpy as np
import pytest
from babelscope.errors import DataError
from babelscope.probes.logit_lens import lens_tables


def test_tables() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(size=(2, 25, 3)).astype(np.float32)
    aligned = base + np.float32([0.5, 0, 0]) * rng.uniform(size=(2, 25, 3)).astype(np.float32)
    names = ("english", "target", "entropy_bits")
    values, deltas = lens_tables({"base": base, "aligned": aligned}, names, ("en", "de"), 4, draws=300, seed=1)
    assert list(values) == ["language", "condition", "layer", "quantity", "value", "ci_low", "ci_high"]
    assert list(deltas) == [
        "language",
        "condition",
        "layer",
        "quantity",
        "base",
        "aligned",
        "delta",
        "ci_low",
        "ci_high",
        "p_value",
        "p_holm",
    ]
    assert len(values) == 12
    assert len(deltas) == 6
    assert values["layer"].eq(4).all()
    found = values.set_index(["condition", "quantity", "language"])["value"]
    assert found["aligned", "target", "de"] == pytest.approx(aligned[1, :, 1].mean())
    assert (values["ci_low"] < values["value"]).all()
    assert (values["value"] < values["ci_high"]).all()
    changed = deltas["quantity"] == "english"
    np.testing.assert_allclose(deltas.loc[changed, "p_value"], 2 / 301)
    np.testing.assert_allclose(deltas.loc[changed, "p_holm"], 4 / 301)  # two languages
    assert deltas.loc[~changed, ["delta", "ci_low", "ci_high"]].eq(0).all(axis=None)
    assert deltas.loc[~changed, "p_value"].eq(1).all()


def test_single_id_is_no_evidence() -> None:
    _, deltas = lens_tables(
        {"base": np.zeros((1, 1, 1)), "other": np.ones((1, 1, 1)), "third": np.ones((1, 1, 1))}, ["mass"], ["en"], 0
    )
    assert deltas["condition"].tolist() == ["other", "third"]
    assert deltas[["delta", "ci_low", "ci_high", "p_value"]].eq(1).all(axis=None)


def test_tables_refuse_unnamed_quantities_and_a_missing_base() -> None:
    array = np.zeros((1, 5, 2))
    with pytest.raises(DataError, match=r"1 quantities \['mass'\] were named for 2 scores"):
        lens_tables({"base": array}, ["mass"], ["en"], 0)
    with pytest.raises(DataError, match="no condition is called 'base' among \\['before'\\]"):
        lens_tables({"before": array}, ["a", "b"], ["en"], 0)
