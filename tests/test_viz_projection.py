"""Projections show every state, base above aligned, on shared axes."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.projection import plot_projection
from babelscope.viz.style import language_color
from matplotlib.colors import same_color

LAYERS = (0, 2, 4, 6, 8, 10, 12)


def points(languages=("en", "zh", "sw"), x="pc1", y="pc2") -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        (language, f"i{k}", condition, layer, position, *(rng.normal(size=2) + 8 * i + (condition == "aligned")))
        for position in ("last", "mean")
        for layer in LAYERS
        for condition in ("base", "aligned")
        for i, language in enumerate(languages)
        for k in range(6)
    ]
    return pd.DataFrame(rows, columns=["language", "id", "condition", "layer", "position", x, y])


def variance() -> pd.DataFrame:
    rows = [(layer, p, c, 0.5 / c) for p in ("last", "mean") for layer in LAYERS for c in (1, 2)]
    return pd.DataFrame(rows, columns=["layer", "position", "component", "explained_variance_ratio"])


def test_default_layers_reach_from_first_to_last_and_the_title_tells_variance():
    figure = plot_projection(points(), variance())
    titles = [ax.get_title() for ax in figure.axes[:5]]
    assert [title.split("\n")[0] for title in titles] == [f"layer {n}" for n in (0, 4, 6, 8, 12)]
    assert titles[0].split("\n")[1] == "PC1 50% · PC2 25%"
    assert [figure.axes[0].get_ylabel(), figure.axes[5].get_ylabel()] == ["base", "aligned"]


def test_every_point_is_drawn_in_its_language_colour():
    ax = plot_projection(points(), variance(), layers=[4]).axes[1]
    table = points().query("layer == 4 and condition == 'aligned' and position == 'last'")
    for group in ax.collections:
        own = table[table["language"] == group.get_label()]
        np.testing.assert_allclose(group.get_offsets(), own[["pc1", "pc2"]])
        assert same_color(group.get_facecolor()[0][:3], language_color(group.get_label()))
    assert len(ax.collections) == 3


def test_conditions_of_a_layer_share_limits_that_hold_all_points():
    base, aligned = plot_projection(points(), variance(), layers=[4]).axes
    assert base.get_xlim() == aligned.get_xlim()
    assert base.get_ylim() == aligned.get_ylim()
    both = points().query("layer == 4 and position == 'last'")
    assert base.get_xlim()[0] < both["pc1"].min() < both["pc1"].max() < base.get_xlim()[1]


def test_names_stand_at_distinct_centres_and_give_way_where_they_would_touch():
    ax = plot_projection(points(), variance(), layers=[4]).axes[0]
    assert [text.get_text() for text in ax.texts] == ["en", "zh", "sw"]
    same = points().assign(pc1=0.0, pc2=lambda t: t["id"].str[1:].astype(float))
    assert [text.get_text() for text in plot_projection(same, variance(), layers=[4]).axes[0].texts] == ["en"]


def test_states_without_variation_are_said_to_be_equal():
    ax = plot_projection(points().assign(pc1=0.0, pc2=0.0), variance(), layers=[0]).axes[0]
    assert [text.get_text() for text in ax.texts] == ["all states are equal"]


def test_umap_tells_its_trustworthiness():
    quality = pd.DataFrame({"layer": LAYERS, "position": "mean", "trustworthiness": 0.931})
    figure = plot_projection(points(x="umap1", y="umap2"), quality, "umap", "mean", [2, 12])
    assert [ax.get_title() for ax in figure.axes[:2]] == ["layer 2\ntrustw. 0.93", "layer 12\ntrustw. 0.93"]


def test_errors_name_what_is_missing():
    with pytest.raises(DataError, match="kind 'tsne': expected one of pca, umap"):
        plot_projection(points(), variance(), "tsne")
    with pytest.raises(DataError, match="umap points table: missing columns umap1, umap2"):
        plot_projection(points(), variance(), "umap")
    with pytest.raises(DataError, match="position = 'all'; expected one of last, mean"):
        plot_projection(points(), variance(), position="all")
    with pytest.raises(DataError, match="layer = 3; expected one of 0, 2, 4"):
        plot_projection(points(), variance(), layers=[3])
    with pytest.raises(DataError, match="an empty list of layers"):
        plot_projection(points(), variance(), layers=[])
    with pytest.raises(DataError, match="pca quality table: the table has no rows"):
        plot_projection(points(), variance().head(0))
