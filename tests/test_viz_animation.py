"""Moving pictures show every layer, on limits and directions that stay."""

import shutil

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError, UsageError
from babelscope.viz.animation import WRITERS, projection_animation, save_animation, steady
from babelscope.viz.style import figure_style, language_color
from made_tables import LAYERS, made_tables
from matplotlib.colors import same_color
from PIL import Image

TABLES = made_tables(["en", "de", "zh"], ["base", "aligned"], 4)


def test_turned_and_grown_layers_come_to_lie_on_one_another():
    first = TABLES["pca"].query("layer == 0 and position == 'mean'")
    turn = np.array([[0.6, -0.8], [0.8, 0.6]]) @ np.diag([1, -1])  # turned and mirrored
    xy = 1e4 * first[["pc1", "pc2"]].to_numpy() @ turn + 7
    second = first.assign(layer=6, pc1=xy[:, 0], pc2=xy[:, 1]).sample(frac=1, random_state=0)
    made = steady(pd.concat([first, second]), "pc1", "pc2")
    before, after = (made[made["layer"] == layer][["pc1", "pc2"]].to_numpy() for layer in (0, 6))
    np.testing.assert_allclose(before, after, atol=1e-12)
    assert (before**2).sum(axis=1).mean() == pytest.approx(1)
    with pytest.raises(DataError, match="layer 6 has other points than the layer before"):
        steady(pd.concat([first, second.iloc[1:]]), "pc1", "pc2")


def test_a_gif_has_a_frame_per_layer(tmp_path):
    animation = projection_animation(TABLES["umap"], TABLES["umap_quality"], "umap", "mean")
    told: list[tuple[int, ...]] = []
    path = save_animation(animation, tmp_path / "new" / "layers.gif", lambda *counts: told.append(counts))
    assert told == [(done, len(LAYERS)) for done in range(len(LAYERS) + 1)]
    with Image.open(path) as picture:
        assert picture.n_frames == len(LAYERS)
    assert [file.name for file in path.parent.iterdir()] == ["layers.gif"]


def test_frames_tell_layer_and_quality_and_keep_limits_and_colours():
    with figure_style():
        animation = projection_animation(TABLES["pca"], TABLES["pca_variance"], "pca", "mean")
        figure, limits = animation._fig, set()
        for layer in LAYERS:
            animation._draw_frame(layer)
            title, quality = figure.get_suptitle().split("\n")
            assert title == f"layer {layer} of 18"
            assert quality.startswith("PC1 20%")
            assert "silhouette: language 0.20" in quality
            assert [ax.get_title() for ax in figure.axes] == ["base", "aligned"]
            limits |= {(ax.get_xlim(), ax.get_ylim()) for ax in figure.axes}
        (english, *_) = figure.axes[0].collections
        assert same_color(english.get_facecolor()[0][:3], language_color("en"))
        animation._draw_was_started = True  # or matplotlib warns that it was never shown
    assert len(limits) == 1


def test_places_that_can_be_compared_over_layers_stay_as_they_are():
    animation = projection_animation(TABLES["aligned_umap"], TABLES["aligned_umap_quality"], "aligned-umap", "mean")
    points = TABLES["aligned_umap"].query("position == 'mean' and condition == 'base' and language == 'en'")
    for layer in LAYERS:
        animation._draw_frame(layer)
        (english, *_) = animation._fig.axes[0].collections
        np.testing.assert_array_equal(english.get_offsets(), points.query("layer == @layer")[["umap1", "umap2"]])
    animation._draw_was_started = True


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
def test_an_mp4_is_written_where_ffmpeg_is_installed(tmp_path):
    animation = projection_animation(TABLES["pca"], TABLES["pca_variance"], "pca", "mean")
    path = save_animation(animation, tmp_path / "a.mp4")
    assert path.read_bytes()[4:8] == b"ftyp"
    assert list(tmp_path.iterdir()) == [path]


def test_other_kinds_and_a_missing_ffmpeg_are_refused(tmp_path, monkeypatch):
    animation = projection_animation(TABLES["pca"], TABLES["pca_variance"], "pca", "mean")
    animation._draw_was_started = True
    with pytest.raises(UsageError, match=r"No moving picture of kind 'avi'. Known: gif, mp4"):
        save_animation(animation, tmp_path / "a.avi")
    monkeypatch.setattr(WRITERS["mp4"], "isAvailable", classmethod(lambda cls: False))
    with pytest.raises(UsageError, match="mp4 needs ffmpeg, which is not installed"):
        save_animation(animation, tmp_path / "a.mp4")
