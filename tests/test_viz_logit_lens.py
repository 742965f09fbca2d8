"""The lens figure shows each language's curves, bands and entropy."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.logit_lens import MASSES, edges, logit_lens_delta_figure, logit_lens_figure
from babelscope.viz.style import BASE, fade
from matplotlib.colors import same_color


def table(languages=("en", "zh", "sw"), conditions=("base", "aligned"), layers=(0, 1, 2, 3)) -> pd.DataFrame:
    rows = []
    for i, language in enumerate(languages):
        for j, condition in enumerate(conditions):
            for layer in layers:
                for quantity, value in (
                    ("english_mass", 0.1 * layer + 0.05 * j),
                    ("target_mass", np.nan if language == "en" else 0.02 * layer * (i + 1)),
                    ("entropy_bits", 17 - 3 * layer - j),
                ):
                    rows.append((language, condition, layer, quantity, value, value - 0.01, value + 0.01))
    return pd.DataFrame(rows, columns=["language", "condition", "layer", "quantity", "value", "ci_low", "ci_high"])


def panel(figure, language):
    return next(ax for ax in figure.axes if ax.get_title() == language)


def test_each_panel_has_its_lines_and_bands():
    shuffled = table().sample(frac=1, random_state=0)  # order of rows means nothing
    ax = panel(logit_lens_figure(shuffled), "zh")
    lines = {line.get_gid(): line for line in ax.lines}
    assert set(lines) == {f"{q}_mass {c}" for q in ("english", "target") for c in ("base", "aligned")}
    np.testing.assert_allclose(lines["english_mass aligned"].get_xydata(), [(x, 0.1 * x + 0.05) for x in range(4)])
    bands = [c for c in ax.collections if str(c.get_gid()).startswith("interval ")]
    assert len(bands) == 4
    assert bands[0].get_paths()[0].get_extents().y1 == pytest.approx(0.31)


def test_base_is_pale_and_dashed_aligned_full_and_solid():
    lines = {line.get_gid(): line for line in panel(logit_lens_figure(table()), "zh").lines}
    hue = MASSES["english_mass"][0]
    assert lines["english_mass base"].is_dashed()
    assert not lines["english_mass aligned"].is_dashed()
    assert same_color(lines["english_mass aligned"].get_color(), hue)
    assert same_color(lines["english_mass base"].get_color(), fade(hue, BASE.fade))


def test_undefined_target_mass_is_left_out():
    assert {line.get_gid() for line in panel(logit_lens_figure(table()), "en").lines} == {
        "english_mass base",
        "english_mass aligned",
    }


def test_entropy_strips_hold_the_values_on_one_scale():
    figure = logit_lens_figure(table())
    bars = [ax.child_axes[0] for ax in figure.axes if ax.get_title()]
    images = [bar.collections[0] for bar in bars]
    np.testing.assert_allclose(images[1].get_array(), [[17, 14, 11, 8], [16, 13, 10, 7]])
    assert {(image.norm.vmin, image.norm.vmax) for image in images} == {(0, 17)}
    assert [text.get_text() for text in bars[0].get_yticklabels()] == ["base", "aligned"]


def test_layers_need_not_be_consecutive():
    np.testing.assert_allclose(edges(np.array([0.0, 2, 6])), [-1, 1, 4, 8])
    np.testing.assert_allclose(edges(np.array([5.0])), [4.5, 5.5])


def test_errors_name_what_is_missing():
    with pytest.raises(DataError, match="logit_lens table: missing column layer"):
        logit_lens_figure(table().drop(columns="layer"))
    with pytest.raises(DataError, match="logit_lens table: the table has no rows"):
        logit_lens_figure(table().head(0))
    with pytest.raises(DataError, match="no rows with quantity = 'entropy_bits'; expected one of english_mass"):
        logit_lens_figure(table().query("quantity != 'entropy_bits'"))
    with pytest.raises(DataError, match="occurs twice; expected once"):
        logit_lens_figure(pd.concat([table(), table()]))


def test_deltas_have_a_panel_per_quantity_with_one_centre():
    deltas = table(conditions=("aligned",)).rename(columns={"value": "delta"}).assign(p_holm=0.01)
    figure = logit_lens_delta_figure(deltas)
    maps = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(maps) == 3
    assert all(image.norm.vmin == -image.norm.vmax for image in maps)
    with pytest.raises(DataError, match="logit_lens_delta table: missing column p_holm"):
        logit_lens_delta_figure(deltas.drop(columns="p_holm"))
