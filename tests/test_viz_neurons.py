"""Figures of language neurons: what is drawn is what the tables say."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.neurons import language_neurons, layer_table
from babelscope.viz.neurons import neurons_ablation_figure, neurons_figure

LANGUAGES = ["en", "de", "zh"]


def test_bars_and_maps_show_the_counts() -> None:
    counts = np.full((3, 2, 100), 30)
    counts[:, 0, 4] = [0, 90, 0]
    counts[:, 1, [5, 6]] = np.array([[80, 80], [80, 0], [0, 80]])
    found = language_neurons(counts, np.full(3, 100), rate=0.015)
    table = pd.concat([layer_table(found, LANGUAGES, name) for name in ("base", "aligned")])
    figure = neurons_figure(table)
    bars, heat = figure.axes[0], figure.axes[2]
    assert [patch.get_height() for patch in bars.patches] == [1, 0, 0, 2]  # specific by layer, then related
    np.testing.assert_array_equal(heat.images[0].get_array(), [[0, 2], [1, 1], [0, 1]])
    assert heat.images[0].get_extent() == [0.5, 2.5, 2.5, -0.5]
    assert [ax.get_title() for ax in figure.axes[:2]] == ["base", "aligned"]


def test_ablation_map_has_losses_random_last_and_dots() -> None:
    rows = [
        {
            "language": code,
            "condition": "base",
            "ablated": ablated,
            "delta": i + 10.0 * j,
            "p_holm": 1 - 0.97 * (i == j),
        }
        for i, code in enumerate(LANGUAGES)
        for j, ablated in enumerate([*LANGUAGES, "random"])
    ]
    figure = neurons_ablation_figure(pd.DataFrame(rows))
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.images[0].get_array(), np.arange(3)[:, None] + 10 * np.arange(4))
    assert [label.get_text() for label in ax.get_xticklabels()] == [*LANGUAGES, "random"]
    dots = next(c for c in ax.collections if c.get_gid() == "significant")
    assert dots.get_offsets().tolist() == [[0, 0], [1, 1], [2, 2]]


def test_tables_without_their_columns_are_refused() -> None:
    with pytest.raises(DataError, match="neurons_by_layer table: missing columns"):
        neurons_figure(pd.DataFrame({"layer": [1]}))
    with pytest.raises(DataError, match="neurons_ablation table: missing columns"):
        neurons_ablation_figure(pd.DataFrame({"language": ["en"]}))
