"""Accuracy figures show the numbers of their tables, losses as plainly as gains."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.accuracy import accuracy_figure, plot_accuracy
from babelscope.viz.predicted_share import plot_predicted_share, predicted_share_figure
from babelscope.viz.style import GAIN, LOSS
from matplotlib.collections import LineCollection
from matplotlib.colors import same_color
from matplotlib.figure import Figure


def deltas() -> pd.DataFrame:
    plain = {
        "base": [0.8, 0.6, 0.5], "aligned": [0.7, 0.75, 0.55], "delta": [-0.1, 0.15, 0.05],
        "ci_low": [-0.17, 0.08, -0.04], "ci_high": [-0.03, 0.22, 0.14], "p_holm": [0.01, 0.001, 0.4],
    }  # fmt: skip
    auc = {
        "auc_base": [0.9, 0.7, np.nan], "auc_aligned": [0.85, 0.8, np.nan], "auc_delta": [-0.05, 0.1, np.nan],
        "auc_ci_low": [-0.1, 0.04, np.nan], "auc_ci_high": [0.0, 0.16, np.nan], "auc_p_holm": [0.1, 0.02, np.nan],
    }  # fmt: skip
    return pd.DataFrame(
        {"language": ["en", "hi", "sw"], "trained": [True, False, False], **plain, **auc, "condition": "aligned"}
    )


def values() -> pd.DataFrame:
    rows = [
        (language, condition, value - 0.05, value + 0.06)
        for language, base, aligned in deltas()[["language", "base", "aligned"]].itertuples(index=False)
        for condition, value in (("base", base), ("aligned", aligned))
    ]
    return pd.DataFrame(rows, columns=["language", "condition", "ci_low", "ci_high"])


def axes_of(table: pd.DataFrame, *arguments: object):
    left, right = Figure().subplots(1, 2)
    return plot_accuracy((left, right), table, *arguments)


def drawn(ax, gid: str) -> list[tuple[float, float]]:
    return [(float(line.get_xdata()[0]), float(line.get_ydata()[0])) for line in ax.lines if line.get_gid() == gid]


def test_ends_differences_and_intervals_are_those_of_the_table():
    left, right = axes_of(deltas())
    # Sorted by base, best on top: sw, hi, en from below.
    assert sorted(drawn(left, "base")) == [(0.5, 0), (0.6, 1), (0.8, 2)]
    assert sorted(drawn(left, "aligned"), key=lambda p: p[1]) == [(0.55, 0), (0.75, 1), (0.7, 2)]
    spans = {tuple(np.round(c.get_segments()[0][:, 0], 3)) for c in right.collections if isinstance(c, LineCollection)}
    assert spans == {(-0.17, -0.03), (0.08, 0.22), (-0.04, 0.14)}


def test_loss_gain_trained_and_significant_are_marked():
    left, right = axes_of(deltas())
    colors = {line.get_ydata()[0]: line.get_color() for line in left.lines if line.get_gid() == "change"}
    assert same_color(colors[2], LOSS)
    assert same_color(colors[0], GAIN)
    assert drawn(right, "significant") == [(-0.1, 2), (0.15, 1)]
    assert drawn(right, "not significant") == [(0.05, 0)]
    labels = {text.get_text(): text.get_fontweight() for text in left.get_yticklabels()}
    assert labels == {"en †": "bold", "hi": "normal", "sw": "normal"}


def test_chance_and_zero_lines_stand_where_they_should():
    left, right = axes_of(deltas(), None, "accuracy", 0.25)
    assert [line.get_xdata()[0] for line in left.lines if line.get_gid() == "chance"] == [0.25]
    assert [line.get_xdata()[0] for line in right.lines if line.get_gid() == "zero"] == [0]


def test_intervals_of_the_ends_are_drawn_for_both_conditions():
    left, _ = axes_of(deltas(), values())
    bars = sorted((round(bar.get_x(), 3), round(bar.get_x() + bar.get_width(), 3)) for bar in left.patches)
    assert bars == sorted(values()[["ci_low", "ci_high"]].round(3).itertuples(index=False, name=None))


def test_auc_reads_its_own_columns_and_says_undefined():
    left, right = axes_of(deltas(), None, "auc")
    assert drawn(right, "significant") == [(0.1, 1)]
    assert [text.get_text() for text in right.texts] == ["undefined"]
    assert left.get_xlabel() == "AUC"


def test_several_adapters_get_a_line_each():
    two = pd.concat([deltas(), deltas().assign(condition="copy", delta=0.0)])
    left, _ = axes_of(two)
    assert len(drawn(left, "base")) == 6
    heights = sorted(y for _, y in drawn(left, "aligned") + drawn(left, "copy"))
    assert np.diff(heights).min() > 0.3
    assert len(left.get_yticklabels()) == 3
    names = [text.get_text() for text in accuracy_figure(two).legends[0].get_texts()]
    assert names[:3] == ["base", "aligned", "copy"]


def test_legend_names_what_is_drawn_only():
    with_all = [text.get_text() for text in accuracy_figure(deltas(), values()).legends[0].get_texts()]
    untrained = deltas().assign(trained=False)
    without = [text.get_text() for text in accuracy_figure(untrained).legends[0].get_texts()]
    assert set(with_all) - set(without) == {"95% interval of an end", "in a training pair (bold)"}


def test_errors_name_what_is_missing():
    with pytest.raises(DataError, match=r"accuracy_delta table: missing columns delta, p_holm; expected language"):
        accuracy_figure(deltas().drop(columns=["delta", "p_holm"]))
    with pytest.raises(DataError, match="accuracy_delta table: the table has no rows"):
        accuracy_figure(deltas().head(0))
    with pytest.raises(DataError, match="quantity 'f1': expected one of accuracy, auc"):
        accuracy_figure(deltas(), None, "f1")
    with pytest.raises(DataError, match="no row of language 'sw', condition 'aligned'"):
        accuracy_figure(deltas(), values().head(5))


def shares() -> pd.DataFrame:
    rows = [
        (language, condition, label, share, share - 0.05, share + 0.05, 0.5)
        for language, lean in (("en", 0.1), ("th", 0.3))
        for condition, size in (("base", 1), ("aligned", 0.2))
        for label, share in (("negative", 0.5 - lean * size), ("positive", 0.5 + lean * size))
    ]
    return pd.DataFrame(rows, columns=["language", "condition", "label", "share", "ci_low", "ci_high", "true_share"])


def test_shares_intervals_and_truth_of_one_label_are_drawn():
    ax = plot_predicted_share(Figure().subplots(), shares(), "positive")
    assert {line.get_label(): sorted(line.get_xdata()) for line in ax.lines} == {
        "base": pytest.approx([0.6, 0.8]),
        "aligned": pytest.approx([0.52, 0.56]),
    }
    segments = [c.get_segments() for c in ax.collections]
    assert sorted(len(s) for s in segments) == [2, 2, 2]  # two conditions' intervals and the true shares
    assert sum(c.get_label() == "true share" for c in ax.collections) == 1


def test_figure_shows_one_of_two_labels_and_each_of_three():
    assert len(predicted_share_figure(shares()).axes) == 1
    third = shares()[shares()["label"] == "positive"].assign(label="neutral")
    assert len(predicted_share_figure(pd.concat([shares(), third])).axes) == 3


def test_unknown_label_is_named():
    with pytest.raises(DataError, match="label = 'mixed'; expected one of negative, positive"):
        plot_predicted_share(Figure().subplots(), shares(), "mixed")
    partial = shares()[~((shares()["language"] == "th") & (shares()["condition"] == "base"))]
    with pytest.raises(DataError, match="'th' has no rows of condition 'base'"):
        predicted_share_figure(partial)
