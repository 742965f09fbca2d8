"""All text lies inside a figure, and figures fit their page, whatever the languages, conditions and width."""

from itertools import pairwise

import pytest
from babelscope.figures import drawings
from babelscope.viz.style import LANGUAGES, TALLEST, WIDTHS, Style, figure_style
from made_tables import made_tables
from matplotlib.figure import Figure


def drawn(n_languages: int, conditions: list[str], names: tuple[str, ...]) -> dict[str, Figure]:
    """Some drawings, or all if none is named."""
    tables = made_tables(list(LANGUAGES)[:n_languages], conditions)
    chosen = [drawing for drawing in drawings() if drawing.name in names or not names]
    assert len(chosen) == len(names) or not names
    return {drawing.name: drawing.draw(*(tables[name] for name in drawing.tables)) for drawing in chosen}


def overflow(figure: Figure) -> float:
    """Inches by which anything drawn (tick labels, names, legends) reaches beyond the figure."""
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return round(max(-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height, 0), 2)


TWO = ["base", "aligned"]
LONG = ["base", "translation-zh-de", "copy-control-zh-de"]


@pytest.mark.parametrize(
    ("n_languages", "conditions", "width", "dpi", "names"),
    [
        (20, TWO, "two", 160, ()),
        pytest.param(20, TWO, "one", 160, (), marks=pytest.mark.slow),
        (3, LONG, "two", 200, ("accuracy", "predicted_share", "alignment", "pca", "transplant", "concept_patching")),
        (2, TWO, "one", 200, ("accuracy", "alignment", "attribution_heads", "logit_lens", "repair", "alignment_mean")),
    ],
    ids=["many languages", "many languages, one column", "long names", "one column"],
)
def test_nothing_is_clipped_and_figures_fit_a_page(n_languages, conditions, width, dpi, names):
    with figure_style(Style(width=width)):
        figures = drawn(n_languages, conditions, names)
        for figure in figures.values():
            figure.set_dpi(dpi)
            figure.get_layout_engine().execute(figure)
        assert {name: overflow(figure) for name, figure in figures.items()} == dict.fromkeys(figures, 0)
    for name, figure in figures.items():
        assert figure.get_size_inches()[0] <= WIDTHS[width] + 1e-9, name
        assert figure.get_size_inches()[1] <= TALLEST + 1e-9, name


def test_languages_of_a_heat_map_do_not_cover_one_another():
    figure = drawn(20, TWO, ("lens_summaries_delta",))["lens_summaries_delta"]
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
    assert all(below.y1 <= above.y0 for above, below in pairwise(boxes))


def test_ten_adapters_have_a_panel_each_where_one_would_not_do():
    names = [f"adapter {i}" for i in range(10)]
    for figure in drawn(20, ["base", *names], ("accuracy", "predicted_share")).values():
        assert {ax.get_title() for ax in figure.axes} == set(names)
        assert figure.get_size_inches()[1] <= TALLEST


def test_clipping_would_be_seen():
    figure = Figure(figsize=(2, 1))
    figure.text(0.9, 0.5, "a long text that does not fit")
    assert overflow(figure) > 0.5
