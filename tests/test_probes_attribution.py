"""Tables of direct attribution from planted contributions, and the figures that show them."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.attribution import attribution_tables, components, label_pairs
from babelscope.viz.attribution import attribution_figure, attribution_heads_figure

LANGUAGES = ("en", "de", "sw")
PARTS = components(2, 3)
HEAD = int(PARTS.query("kind == 'head' and layer == 2 and head == 1").index[0])


def planted() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Head 1 of layer 2 gains half a logit, in German two; all else is the same noise before and after."""
    base = np.random.default_rng(0).normal(size=(3, len(PARTS), 20))
    aligned = base.copy()
    aligned[:, HEAD] += 0.5
    aligned[1, HEAD] += 1.5
    return attribution_tables({"base": base, "aligned": aligned}, PARTS, LANGUAGES, draws=500)


def test_every_component_has_its_place() -> None:
    assert len(PARTS) == 1 + 2 + 6 + 2 + 3
    assert PARTS.iloc[HEAD].tolist() == ["head", 2, 1]
    assert PARTS.iloc[-1].tolist() == ["logit_difference", 2, -1]


def test_pairs_have_one_of_each_label() -> None:
    truth = np.array([1, 1, 0, 1, 0, 0, 0])
    pairs = label_pairs(truth)
    assert pairs.tolist() == [[2, 0], [4, 1], [5, 3]]
    assert (truth[pairs] == [0, 1]).all()
    with pytest.raises(DataError, match="needs questions of two labels; all 3 have the same"):
        label_pairs(np.zeros(3, dtype=int))


def test_the_planted_head_is_found_and_no_other() -> None:
    values, deltas = planted()
    assert set(deltas.loc[deltas["p_holm"] < 0.05, ["kind", "layer", "head"]].itertuples(index=False, name=None)) == {
        ("head", 2, 1)
    }
    moved = deltas.query("kind == 'head' and layer == 2 and head == 1").set_index("language")
    np.testing.assert_allclose(moved["delta"], [0.5, 2.0, 0.5, 1.0])
    assert moved.index.tolist() == [*LANGUAGES, "all"]
    pooled = values.query("language == 'all' and kind == 'mlp' and layer == 1 and condition == 'base'")
    each = values.query("language != 'all' and kind == 'mlp' and layer == 1 and condition == 'base'")
    np.testing.assert_allclose(pooled["value"], each["value"].mean())
    assert (values["ci_low"] <= values["value"]).all()


def test_bad_arrays_are_named() -> None:
    array = np.zeros((3, len(PARTS), 4))
    with pytest.raises(DataError, match="no condition is called 'base'"):
        attribution_tables({"aligned": array}, PARTS, LANGUAGES)
    with pytest.raises(DataError, match=r"contributions of 'copy' have shape \(2, 14, 4\), expected \(3, 14, 4\)"):
        attribution_tables({"base": array, "copy": array[:2]}, PARTS, LANGUAGES)


def test_figures_show_the_pooled_rows() -> None:
    values, deltas = planted()
    figure = attribution_figure(values)
    lines = {line.get_gid(): line for line in figure.axes[1].lines}
    wanted = values.query("language == 'all' and kind == 'mlp' and condition == 'aligned'")
    np.testing.assert_allclose(lines["aligned"].get_xydata(), wanted[["layer", "value"]])
    heads = attribution_heads_figure(values, deltas)
    image = heads.axes[2].images[0]
    np.testing.assert_allclose(image.get_array()[1, 1], 1.0)
    np.testing.assert_allclose(np.delete(image.get_array().ravel(), 3), 0, atol=1e-12)
    with pytest.raises(DataError, match="no rows with language = 'all'"):
        attribution_figure(values[values["language"] != "all"])
