"""Alignment curves and heat maps show their tables, with intervals and significance."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.alignment import alignment_delta_figure, alignment_figure, mean_over_languages, spanning
from babelscope.viz.lines import spread
from babelscope.viz.style import ALIGNED, BASE, language_color
from matplotlib.colors import same_color
from scipy import stats

LANGUAGES = ("zh", "de", "hi", "sw", "th", "ru", "sl")


def values() -> pd.DataFrame:
    rows = []
    for quantity in ("pc1_pearson", "retrieval_from_pivot"):
        for position in ("last", "mean"):
            for j, condition in enumerate(("base", "aligned")):
                for i, language in enumerate(LANGUAGES):
                    for layer in range(4):
                        value = np.nan if layer == 0 and position == "last" else 0.1 * layer + 0.05 * i + 0.1 * j
                        rows.append((language, condition, layer, position, quantity, value, value - 0.1, value + 0.1))
    columns = ["language", "condition", "layer", "position", "quantity", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def test_mean_over_languages_has_the_t_interval_of_scipy():
    table = mean_over_languages(values()).set_index(["condition", "layer", "position", "quantity"])
    sample = 0.3 + 0.05 * np.arange(7)
    row = table.loc[("base", 3, "mean", "pc1_pearson")]
    low, high = stats.t.interval(0.95, 6, sample.mean(), stats.sem(sample))
    assert (row["n_languages"], row["value"]) == (7, pytest.approx(sample.mean()))
    assert (row["ci_low"], row["ci_high"]) == (pytest.approx(low), pytest.approx(high))


def test_one_language_has_a_mean_without_interval():
    row = mean_over_languages(values().query("language == 'zh' and layer == 1")).iloc[0]
    assert row["n_languages"] == 1
    assert np.isfinite(row["value"])
    assert np.isnan(row["ci_low"])


def test_panels_have_means_with_bands_and_thin_lines_of_languages():
    figure = alignment_figure(values())
    assert len(figure.axes) == 4
    ax = figure.axes[1]
    lines = {line.get_gid(): line for line in ax.lines}
    assert set(lines) == {"mean base", "mean aligned", *(f"language {code}" for code in LANGUAGES)}
    np.testing.assert_allclose(lines["mean base"].get_ydata(), 0.15 + 0.1 * np.arange(4))
    np.testing.assert_allclose(lines["language de"].get_ydata(), 0.15 + 0.1 * np.arange(4))  # the aligned condition
    assert lines["mean base"].get_linewidth() > 2 * lines["language de"].get_linewidth()
    gids = [str(band.get_gid()) for band in ax.collections]
    assert {"interval mean base", "interval mean aligned"} <= set(gids)
    assert sum(gid.startswith("interval ") for gid in gids) == 2 + 5


def test_thin_lines_are_of_aligned_whatever_the_order_or_of_base_alone():
    copy = values().query("condition == 'base'").assign(condition="copy", value=0.0)
    ax = alignment_figure(pd.concat([copy, values()])).axes[1]
    lines = {line.get_gid(): line for line in ax.lines}
    np.testing.assert_allclose(lines["language de"].get_ydata(), 0.15 + 0.1 * np.arange(4))
    alone = {line.get_gid(): line for line in alignment_figure(values().query("condition == 'base'")).axes[1].lines}
    np.testing.assert_allclose(alone["language de"].get_ydata(), 0.05 + 0.1 * np.arange(4))


def test_colours_are_those_of_the_house():
    lines = {line.get_gid(): line for line in alignment_figure(values()).axes[0].lines}
    assert same_color(lines["mean base"].get_color(), BASE.color)
    assert same_color(lines["mean aligned"].get_color(), ALIGNED.color)
    assert all(same_color(lines[f"language {code}"].get_color(), language_color(code)) for code in LANGUAGES)


def test_named_languages_span_the_range_and_do_not_touch():
    rows = values().query("condition == 'aligned' and position == 'mean' and quantity == 'pc1_pearson'")
    assert spanning(rows, 3) == ["zh", "sw", "sl"]
    ax = alignment_figure(values()).axes[1]
    heights = sorted(text.xy[1] for text in ax.texts)
    low, high = ax.get_ylim()
    assert len(heights) == 5
    assert np.diff(heights).min() >= 0.08 * (high - low)
    assert low <= heights[0] <= heights[-1] <= high


@pytest.mark.parametrize(
    ("before", "after"),
    [([0, 5, 9], [0, 5, 9]), ([1, 1, 1], [0, 1, 2]), ([0, 0.5, 5], [-0.25, 0.75, 5]), ([], [])],
)
def test_spread_moves_no_more_than_it_must(before, after):
    np.testing.assert_allclose(spread(np.array(before, float), 1.0), after)


def deltas() -> pd.DataFrame:
    rows = [
        (language, "aligned", layer, position, "pc1_pearson", 0.1 * layer - 0.05 * i, 0.01 if layer == 3 > i + 1 else 1)
        for position in ("last", "mean")
        for i, language in enumerate(LANGUAGES)
        for layer in (0, 3, 6)
    ]
    columns = ["language", "condition", "layer", "position", "quantity", "delta", "p_holm"]
    table = pd.DataFrame(rows, columns=columns)
    table.loc[table["layer"] == 0, ["delta", "p_holm"]] = np.nan
    return table


def test_heat_map_has_every_difference_centred_on_zero_with_dots_where_significant():
    figure = alignment_delta_figure(deltas())
    ax = figure.axes[0]
    cells = np.ma.filled(ax.images[0].get_array().astype(float), np.nan)
    expected = deltas().query("position == 'last'").pivot(index="language", columns="layer", values="delta")
    np.testing.assert_allclose(cells, expected.loc[list(LANGUAGES)].to_numpy())
    norm = ax.images[0].norm
    assert norm.vmin == -norm.vmax == pytest.approx(-0.6)
    dots = next(c for c in ax.collections if c.get_gid() == "significant")
    np.testing.assert_allclose(dots.get_offsets(), [(1, 0), (1, 1)])  # layer 3 is the second column
    assert [text.get_text() for text in ax.get_xticklabels()] == ["0", "3", "6"]


def test_differences_that_are_all_zero_or_undefined_can_be_drawn():
    alignment_delta_figure(deltas().assign(delta=0.0))
    alignment_delta_figure(deltas().assign(delta=np.nan, p_holm=np.nan))


def test_errors_name_what_is_missing():
    with pytest.raises(DataError, match="alignment table: missing columns ci_low, ci_high"):
        alignment_figure(values().drop(columns=["ci_low", "ci_high"]))
    with pytest.raises(DataError, match="alignment table: the table has no rows"):
        alignment_figure(values().head(0))
    with pytest.raises(DataError, match="alignment_delta table: missing column delta"):
        alignment_delta_figure(deltas().drop(columns="delta"))
    with pytest.raises(DataError, match="occurs twice"):
        alignment_delta_figure(pd.concat([deltas(), deltas()]))
