"""The grid as a picture, as Markdown, as LaTeX and in words: the same numbers everywhere."""

import re

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.explaining.findings import verdict
from babelscope.viz.grid import grid_figure
from babelscope.viz.grid_text import grid_latex, grid_markdown

LANGUAGES = ["en", "de", "sw"]


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    """Two adapters; `zh_1` gains 20 points in Swahili, loses 10 in English."""
    rows, groups, values = [], [], []
    for condition, against, deltas in (
        ("zh_1", "base", (-0.1, 0.0, 0.2)),
        ("zh_1", "copy", (-0.1, 0.0, 0.1)),
        ("copy", "base", (0.0, 0.0, 0.1)),
    ):
        names = {
            "task": "sentiment",
            "condition": condition,
            "train_set": "zh to en",
            "against": against,
            "spread": np.nan,
        }
        for quantity in ("accuracy", "auc", "calibrated"):
            for language, delta in zip(LANGUAGES, deltas, strict=True):
                p = 0.01 if delta else 1.0
                rows.append(
                    {**names, "language": language, "trained": language == "en", "quantity": quantity, "reference": 0.5,
                     "value": 0.5 + delta, "delta": delta, "ci_low": delta - 0.05, "ci_high": delta + 0.05,
                     "p_value": p, "p_holm": p}
                )  # fmt: skip
            for group, n in (("seen", 1), ("unseen", 2), ("all", 3)):
                groups.append(
                    {**names, "group": group, "n_languages": n, "quantity": quantity, "reference": 0.5, "value": 0.6,
                     "delta": 0.1, "ci_low": 0.02, "ci_high": 0.2, "p_value": 0.04 if group == "unseen" else 1.0}
                )  # fmt: skip
    values = [{"task": "sentiment", "condition": c, "language": code} for c in ("base", "zh_1") for code in LANGUAGES]
    return {"grid": pd.DataFrame(values), "grid_delta": pd.DataFrame(rows), "grid_groups": pd.DataFrame(groups)}


def test_the_figure_shows_the_table(tables: dict[str, pd.DataFrame]) -> None:
    figure = grid_figure(tables["grid_delta"])
    panel = next(ax for ax in figure.axes if ax.get_title() == "sentiment: Δ accuracy")
    np.testing.assert_allclose(panel.images[0].get_array(), [[-0.1, 0, 0.2], [0, 0, 0.1]])
    assert [t.get_text() for t in panel.get_yticklabels()] == ["zh_1", "copy"]
    (dots,) = [c for c in panel.collections if c.get_gid() == "significant"]
    assert {tuple(point) for point in dots.get_offsets().tolist()} == {(0, 0), (2, 0), (2, 1)}
    assert len(panel.patches) == 2  # English was trained on, by both
    with pytest.raises(DataError, match="missing column"):
        grid_figure(tables["grid_delta"].drop(columns="p_holm"))


def test_markdown_and_latex_hold_the_same_cells(tables: dict[str, pd.DataFrame]) -> None:
    markdown, latex = grid_markdown(tables), grid_latex(tables)
    assert "| en | 50.0 | -10.0 [-15.0, -5.0]*† | +0.0 [-5.0, +5.0]† |" in markdown
    assert "| unseen, mean |  | +10.0 [+2.0, +20.0]* |" in markdown
    assert r"en & 50.0 & -10.0 [-15.0, -5.0]*$^\dagger$ & +0.0 [-5.0, +5.0]$^\dagger$ \\" in latex
    assert r"zh\_1" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == markdown.count("\n## ") == 3
    columns = re.findall(r"\\begin\{tabular\}\{(l r*)\}".replace(" ", ""), latex)
    assert {len(c) for c in columns} == {4}
    for line in latex.splitlines():
        if line.endswith(r"\\"):
            assert line.count("&") == 3


def test_many_conditions_are_split_over_tables(tables: dict[str, pd.DataFrame]) -> None:
    delta = tables["grid_delta"]
    more = [delta[delta["against"] == "base"].assign(condition=f"c{i}") for i in range(7)]
    tables |= {"grid_delta": pd.concat(more)}
    assert grid_latex(tables).count(r"\begin{tabular}") == 2 * 3


def test_the_verdict_answers_the_questions(tables: dict[str, pd.DataFrame]) -> None:
    first, second = verdict(tables)
    assert first.startswith("zh_1 (zh to en), sentiment: better than the base (2 unseen languages: accuracy +0.100")
    assert "better than the control copy" in first
    assert "higher AUC in 1 of 2 unseen (sw)" in first
    assert "lower AUC in 1 of 3 (en)" in first
    assert "control" not in second
    none = tables | {"grid_groups": tables["grid_groups"].assign(p_value=0.5)}
    assert "not better than the base" in verdict(none)[0]
    worse = tables | {"grid_groups": tables["grid_groups"].assign(delta=-0.1)}
    assert "worse than the base" in verdict(worse)[0]
