"""Every drawing, with two and with three conditions: all text lies inside it, and it fits its page."""

import pytest
from babelscope.figures import drawings
from babelscope.viz.style import LANGUAGES, TALLEST, WIDTHS, Style, figure_style
from made_tables import made_tables
from matplotlib.figure import Figure


def drawn(n_languages: int, conditions: list[str]) -> dict[str, Figure]:
    tables = made_tables(list(LANGUAGES)[:n_languages], conditions)
    return {drawing.name: drawing.draw(*(tables[name] for name in drawing.tables)) for drawing in drawings()}


def overflow(figure: Figure) -> float:
    """Inches by which anything drawn (tick labels, names, legends) reaches beyond the figure."""
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return round(max(-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height, 0), 2)


@pytest.mark.parametrize(
    ("n_languages", "conditions", "width"),
    [
        (20, ["base", "aligned"], "two"),
        (4, ["base", "translation-zh-de", "copy-control-zh-de"], "two"),
        (6, ["base", "aligned"], "one"),
    ],
)
def test_nothing_is_clipped_and_figures_fit_a_page(n_languages, conditions, width):
    with figure_style(Style(width=width)):
        figures = drawn(n_languages, conditions)
        for figure in figures.values():
            figure.get_layout_engine().execute(figure)
        assert {name: overflow(figure) for name, figure in figures.items()} == dict.fromkeys(figures, 0)
    for name, figure in figures.items():
        assert figure.get_size_inches()[0] <= WIDTHS[width] + 1e-9, name
        assert figure.get_size_inches()[1] <= TALLEST + 1e-9, name


def test_ten_adapters_have_a_panel_each_where_one_would_not_do():
    tables = made_tables(list(LANGUAGES), ["base", *(f"adapter {i}" for i in range(10))])
    for drawing in drawings():
        if drawing.name in ("accuracy", "auc", "predicted_share", "grid"):
            figure = drawing.draw(*(tables[name] for name in drawing.tables))
            titles = {ax.get_title() for ax in figure.axes}
            assert drawing.name == "grid" or titles == {f"adapter {i}" for i in range(10)}
            assert figure.get_size_inches()[1] <= TALLEST


def test_clipping_would_be_seen():
    figure = Figure(figsize=(2, 1))
    figure.text(0.9, 0.5, "a long text that does not fit")
    assert overflow(figure) > 0.5
