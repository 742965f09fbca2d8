"""Projections show every state, base above aligned, on shared axes."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.projection import projection_figure
from babelscope.viz.style import language_color
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure


def names_on(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts if text.get_gid() != "quality"]


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
    table = pd.DataFrame(rows, columns=["layer", "position", "component", "explained_variance_ratio"])
    return table.assign(stability=1 / table["component"], silhouette_language=0.4, silhouette_id=-0.2)


def quality_of(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts if text.get_gid() == "quality"]


def test_default_layers_reach_from_first_to_last_and_their_quality_is_told():
    figure = projection_figure(points(), variance())
    assert [ax.get_title() for ax in figure.axes[:5]] == [f"layer {n}" for n in (0, 4, 6, 8, 12)]
    told = "PC1 50% · PC2 25%\nstability 1.00 · 0.50\nsilhouette: language 0.40\nsilhouette: meaning -0.20"
    assert quality_of(figure) == [told] * 5
    assert [figure.axes[0].get_ylabel(), figure.axes[5].get_ylabel()] == ["base", "aligned"]


def test_every_point_is_drawn_in_its_language_colour():
    ax = projection_figure(points(), variance(), layers=[4]).axes[1]
    table = points().query("layer == 4 and condition == 'aligned' and position == 'last'")
    for group in ax.collections:
        own = table[table["language"] == group.get_label()]
        np.testing.assert_allclose(group.get_offsets(), own[["pc1", "pc2"]])
        assert same_color(group.get_facecolor()[0][:3], language_color(group.get_label()))
    assert len(ax.collections) == 3


def test_conditions_of_a_layer_share_limits_that_hold_all_points():
    base, aligned = projection_figure(points(), variance(), layers=[4]).axes
    assert base.get_xlim() == aligned.get_xlim()
    assert base.get_ylim() == aligned.get_ylim()
    both = points().query("layer == 4 and position == 'last'")
    assert base.get_xlim()[0] < both["pc1"].min() < both["pc1"].max() < base.get_xlim()[1]


def test_names_stand_at_distinct_centres_and_give_way_where_they_would_touch():
    ax = projection_figure(points(), variance(), layers=[4]).axes[0]
    assert names_on(ax) == ["en", "zh", "sw"]
    same = points().assign(pc1=0.0, pc2=lambda t: t["id"].str[1:].astype(float))
    assert names_on(projection_figure(same, variance(), layers=[4]).axes[0]) == ["en"]


def test_states_without_variation_are_said_to_be_equal():
    ax = projection_figure(points().assign(pc1=0.0, pc2=0.0), variance(), layers=[0]).axes[0]
    assert names_on(ax) == ["all states are equal"]


def test_umap_tells_its_quality_over_seeds():
    seeds = [
        {"layer": layer, "position": "mean", "trustworthiness": 0.93 + 0.01 * seed, "procrustes_disparity": 0.02 * seed}
        for layer in LAYERS
        for seed in range(3)
    ]
    quality = pd.DataFrame(seeds).assign(silhouette_language=0.4, silhouette_id=-0.2)
    figure = projection_figure(points(x="umap1", y="umap2"), quality, "umap", "mean", [2, 12])
    told = "trustworthiness 0.94\nProcrustes 0.02 (3 seeds)\nsilhouette: language 0.40\nsilhouette: meaning -0.20"
    assert quality_of(figure) == [told] * 2
    with pytest.raises(DataError, match="umap quality table: no row for layer 2 at position 'mean', expected"):
        projection_figure(points(x="umap1", y="umap2"), quality[quality["layer"] != 2], "umap", "mean", [2, 12])
    with pytest.raises(DataError, match="umap quality table: missing column procrustes_disparity"):
        projection_figure(points(x="umap1", y="umap2"), quality.drop(columns="procrustes_disparity"), "umap", "mean")


def test_aligned_layers_share_limits_and_tell_the_displacement_beside_that_of_separate_ones():
    quality = variance().drop_duplicates(["layer", "position"]).assign(
        trustworthiness=0.93, trustworthiness_separate=0.951, silhouette_language_separate=0.1,
        procrustes_disparity=0.1, displacement_separate=0.8,
        displacement=lambda t: (t["layer"] / 20).where(t["layer"] > 2),
    )  # fmt: skip
    own = points(x="umap1", y="umap2")
    own[["umap1", "umap2"]] *= own[["layer"]].to_numpy()
    figure = projection_figure(own, pd.concat([quality] * 2), "aligned-umap", "mean", [2, 12])
    before, after = (
        "trust 0.930 (0.951)\nProcrustes 0.10 (2 seeds)\n",
        "\nsil. language 0.40 (0.10)\nsil. meaning -0.20",
    )
    assert quality_of(figure) == [
        f"{before}no layer before{after}",
        f"{before}displacement 0.60 (0.80){after}",
    ]
    assert len({(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes[:4]}) == 1
    shown = own.query("layer in (2, 12) and position == 'mean'")
    assert figure.axes[0].get_xlim()[0] < shown["umap1"].min() < shown["umap1"].max() < figure.axes[0].get_xlim()[1]


def test_errors_name_what_is_missing():
    with pytest.raises(DataError, match="kind 'tsne': expected one of pca, umap, aligned-umap"):
        projection_figure(points(), variance(), "tsne")
    with pytest.raises(DataError, match="umap points table: missing columns umap1, umap2"):
        projection_figure(points(), variance(), "umap")
    with pytest.raises(DataError, match="position = 'all'; expected one of last, mean"):
        projection_figure(points(), variance(), position="all")
    with pytest.raises(DataError, match="layer = 3; expected one of 0, 2, 4"):
        projection_figure(points(), variance(), layers=[3])
    with pytest.raises(DataError, match="an empty list of layers"):
        projection_figure(points(), variance(), layers=[])
    with pytest.raises(DataError, match="pca quality table: the table has no rows"):
        projection_figure(points(), variance().head(0))
