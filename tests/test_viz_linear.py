"""Curves and heat maps of linear probes show their tables."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.linear import PROBES, linear_probe_tables
from babelscope.viz.linear import NAMES, linear_delta_figure, linear_figure

LANGUAGES = ("en", "de", "sw", "zh")


@pytest.fixture(scope="module")
def tables() -> tuple[pd.DataFrame, pd.DataFrame]:
    rng, labels = np.random.default_rng(0), np.arange(12) % 2
    made = []
    for layer in (0, 1, 2):
        states = {name: rng.normal(size=(4, 12, 5)).astype(np.float32) for name in ("base", "aligned")}
        made += [linear_probe_tables(states, labels, LANGUAGES, layer, p, draws=50) for p in ("last", "mean")]
    values, deltas = zip(*made, strict=True)
    return pd.concat(values), pd.concat(deltas)


def test_every_probe_has_a_name_and_a_panel_with_its_control(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    assert set(NAMES) == set(PROBES)
    values = tables[0]
    figure = linear_figure(values.sample(frac=1, random_state=0).sort_values("position"))
    assert len(figure.axes) == 2 * len(PROBES)
    row = list(NAMES).index("language")
    ax = figure.axes[2 * row + 1]
    lines = {line.get_gid(): line for line in ax.lines}
    here = values[(values["position"] == "mean") & (values["condition"] == "base")]
    for gid, quantity in (("mean base", "language"), ("control", "language_control")):
        source = here if gid == "mean base" else values[values["position"] == "mean"]
        expected = source[source["quantity"] == quantity].groupby("layer")["value"].mean()
        np.testing.assert_allclose(lines[gid].get_ydata(), expected)
    assert lines["mean base"].is_dashed()
    assert sum(str(gid).startswith("language ") for gid in lines) == 3
    assert {"interval mean base", "interval mean aligned"} <= {band.get_gid() for band in ax.collections}


def test_differences_have_a_map_per_probe_and_position(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    maps = [ax.images[0] for ax in linear_delta_figure(tables[1]).axes if ax.images]
    assert len(maps) == 2 * len(PROBES)


def test_the_base_alone_can_be_drawn(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    linear_figure(tables[0].query("condition == 'base' and layer == 1 and language == 'de'"))


def test_errors_name_what_is_missing(tables: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    with pytest.raises(DataError, match="linear_probe table: missing columns ci_low, ci_high"):
        linear_figure(tables[0].drop(columns=["ci_low", "ci_high"]))
    with pytest.raises(DataError, match="linear_probe_delta table: missing column p_holm"):
        linear_delta_figure(tables[1].drop(columns="p_holm"))
