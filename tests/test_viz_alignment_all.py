"""Matrices, overall means and agreement of alignment measures show their tables."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.alignment_agreement import agreement_figure, outcome_figure
from babelscope.viz.alignment_matrix import alignment_matrix_figure, by_family, spread_layers, square
from babelscope.viz.alignment_mean import alignment_mean_figure

LANGUAGES = ("zh", "de", "sw", "en")
LAYERS = (0, 1, 2, 3, 4)


def matrix() -> pd.DataFrame:
    rows = [
        (a, b, condition, layer, position, quantity, layer + 0.1 * i + 0.01 * j + (condition == "aligned"))
        for condition in ("base", "aligned")
        for layer in LAYERS
        for position in ("last", "mean")
        for quantity in ("retrieval", "cka")
        for i, a in enumerate(LANGUAGES)
        for j, b in enumerate(LANGUAGES)
        if i < j or (quantity == "retrieval" and i != j)
    ]
    columns = ["language_a", "language_b", "condition", "layer", "position", "quantity", "value"]
    return pd.DataFrame(rows, columns=columns)


def test_matrices_are_base_aligned_and_difference_with_families_together() -> None:
    figure = alignment_matrix_figure(matrix(), "retrieval", "last")
    panels = np.array([ax for ax in figure.axes if ax.images and ax.get_label() != "<colorbar>"]).reshape(3, 4)
    assert [ax.get_title() for ax in panels[0]] == ["layer 1", "layer 2", "layer 3", "layer 4"]
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["base", "aligned", "aligned − base"]
    order = ["en", "de", "zh", "sw"]
    assert [text.get_text() for text in panels[0, 0].get_yticklabels()] == order
    shown = np.ma.filled(panels[0, 1].images[0].get_array().astype(float), np.nan)
    place = {code: i for i, code in enumerate(LANGUAGES)}
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            expected = np.nan if a == b else 2 + 0.1 * place[a] + 0.01 * place[b]
            np.testing.assert_allclose(shown[i, j], expected)
    change = np.ma.filled(panels[2, 0].images[0].get_array().astype(float), np.nan)
    np.testing.assert_allclose(change[~np.eye(4, dtype=bool)], 1)
    assert panels[2, 0].images[0].norm.vmin == -panels[2, 0].images[0].norm.vmax


def test_a_pair_that_stands_once_fills_both_halves() -> None:
    table = matrix().query("quantity == 'cka' and condition == 'base' and layer == 2 and position == 'mean'")
    found = square(table, LANGUAGES)
    np.testing.assert_array_equal(found, found.T)
    assert np.isnan(found.diagonal()).all()
    assert found[0, 1] == pytest.approx(2.01)


def test_orders() -> None:
    assert by_family(["xx", "zh", "en", "aa", "zh"]) == ["en", "zh", "aa", "xx"]
    assert spread_layers(range(19), 4) == [4, 9, 14, 18]
    assert spread_layers([5, 7], 4) == [5, 7]
    assert spread_layers([3], 4) == [3]


def test_the_base_alone_has_one_row_of_matrices() -> None:
    figure = alignment_matrix_figure(matrix().query("condition == 'base'"), "cka", "mean")
    assert len({ax.get_ylabel() for ax in figure.axes if ax.get_title() or ax.get_ylabel() == "base"} - {""}) == 1
    with pytest.raises(DataError, match="no rows with quantity = 'dali'; expected one of retrieval, cka"):
        alignment_matrix_figure(matrix(), "dali", "mean")


def means() -> tuple[pd.DataFrame, pd.DataFrame]:
    keys = pd.MultiIndex.from_product(
        [("base", "aligned"), LAYERS, ("last", "mean"), ("retrieval", "cka", "anisotropy")],
        names=["condition", "layer", "position", "quantity"],
    ).to_frame(index=False)
    value = 0.1 * keys["layer"] + (keys["condition"] == "aligned")
    values = keys.assign(value=value, ci_low=value - 0.1, ci_high=value + 0.1)
    deltas = values[values["condition"] == "aligned"].rename(columns={"value": "aligned"})
    return values, deltas.assign(p_holm=np.where(deltas["layer"] == 3, 0.01, 0.5))


def test_means_have_a_line_of_each_condition_and_dots_where_they_differ() -> None:
    figure = alignment_mean_figure(*means())
    panels = np.array(figure.axes).reshape(2, 4)
    assert [ax.get_title() for ax in panels[0]] == ["position: last", "position: mean"] * 2
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["retrieval", "debiased CKA"]
    assert panels[0, 2].get_ylabel() == "anisotropy"
    figure.draw_without_rendering()
    numbered = [[ax.xaxis.get_major_ticks()[0].label1.get_visible() for ax in row if ax.axison] for row in panels]
    assert numbered == [[False, False, True, True], [True, True]]  # nothing stands below the right half
    ax = panels[1, 1]
    lines = {line.get_gid(): line for line in ax.lines}
    np.testing.assert_allclose(lines["aligned"].get_ydata(), 1 + 0.1 * np.arange(5))
    dots = next(c for c in ax.collections if c.get_gid() == "significant aligned")
    np.testing.assert_allclose(dots.get_offsets(), [(3, 1.3)])


def agreement() -> pd.DataFrame:
    rows = []
    for layer in LAYERS:
        for position in ("last", "mean"):
            told = {"layer": layer, "position": position, "n": 20}
            numbers = {"spearman": 0.1 * layer, "ci_low": 0.1 * layer - 0.25, "ci_high": 0.1 * layer + 0.25}
            pair = {"over": "pairs", "of": "level", "condition": "base", "quantity": "cka", "against": "mexa"}
            rows.append(told | pair | numbers)
            for of, condition in (
                ("level", "base"),
                ("level", "aligned"),
                ("change", "aligned"),
                ("before", "aligned"),
            ):
                for name in ("cka", "mexa"):
                    with_ = {"over": "languages", "of": of, "condition": condition, "quantity": name}
                    rows.append(told | with_ | {"against": "auc"} | numbers)
    return pd.DataFrame(rows)


def test_agreement_is_a_symmetric_map_of_one_layer() -> None:
    figure = agreement_figure(agreement(), layer=4)
    shown = np.ma.filled(figure.axes[0].images[0].get_array().astype(float), np.nan)
    np.testing.assert_allclose(shown, [[np.nan, 0.4], [0.4, np.nan]])
    dots = next(c for c in figure.axes[0].collections if c.get_gid() == "interval without 0")
    assert len(dots.get_offsets()) == 2
    assert "layer 2" in agreement_figure(agreement()).axes[0].get_title()  # the middle one
    with pytest.raises(DataError, match="layer 9: the table has no rows"):
        agreement_figure(agreement(), layer=9)


def test_outcome_maps_have_a_row_of_panels_for_every_question() -> None:
    figure = outcome_figure(agreement())
    titles = [ax.get_title() for ax in figure.axes if ax.get_title().endswith(", last")]
    assert [title.removesuffix(", last") for title in titles] == [
        "base: with AUC",
        "aligned: with AUC",
        "aligned − base: with Δ AUC",
        "base: with Δ AUC of aligned",
    ]
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), np.tile(0.1 * np.arange(5), (2, 1)))
    dots = next(c for c in figure.axes[0].collections if c.get_gid() == "interval without 0")
    assert {x for x, _ in dots.get_offsets()} == {3, 4}
    with pytest.raises(DataError, match="no rows with against = 'accuracy'"):
        outcome_figure(agreement(), "accuracy")
