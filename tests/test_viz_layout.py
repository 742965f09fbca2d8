"""In every figure all text lies inside it, whatever the number of languages and conditions."""

import numpy as np
import pandas as pd
import pytest
from babelscope.viz.accuracy import accuracy_figure, predicted_share_figure
from babelscope.viz.alignment import plot_alignment, plot_alignment_delta
from babelscope.viz.logit_lens import plot_logit_lens, plot_logit_lens_delta
from babelscope.viz.projection import plot_projection
from babelscope.viz.style import LANGUAGES, TWO_COLUMNS, figure_style
from matplotlib.figure import Figure


def tidy(rng: np.random.Generator, **axes: object) -> pd.DataFrame:
    """Every combination of `axes`, with made-up numbers under all names that a figure reads."""
    table = pd.MultiIndex.from_product(list(axes.values()), names=list(axes)).to_frame(index=False)
    value = rng.uniform(0.1, 0.9, len(table))
    low, high = value - 0.1, value + 0.1
    numbers = {"value": value, "share": value, "base": value, "delta": value - 0.5, "ci_low": low, "ci_high": high}
    others = {"aligned": value + 0.05, "p_holm": value / 4, "true_share": 0.5, "trained": table.index % 5 == 0}
    xy = {"pc1": value, "pc2": rng.normal(size=len(table)), "component": 1, "explained_variance_ratio": 0.1}
    quality = {"stability": 0.99, "silhouette_language": 0.2, "silhouette_id": -0.1}
    return table.assign(**numbers, **others, **xy, **quality)


def figures(n_languages: int, conditions: list[str]) -> dict[str, Figure]:
    rng = np.random.default_rng(0)
    languages = list(LANGUAGES)[:n_languages]
    others, layers, positions = conditions[1:], range(0, 19, 6), ["last", "mean"]
    lens = ["english_mass", "target_mass", "entropy_bits"]
    alike = ["pc1_pearson", "retrieval_from_pivot", "retrieval_to_pivot"]
    labels = ["positive", "negative"]

    def make(**axes):
        return tidy(rng, language=languages, **axes)

    deltas = make(condition=others)
    deltas["ci_low"], deltas["ci_high"] = deltas["delta"] - 0.1, deltas["delta"] + 0.1
    points = make(condition=conditions, layer=layers, position=positions, id=range(3))
    return {
        "accuracy": accuracy_figure(deltas, make(condition=conditions)),
        "share": predicted_share_figure(make(condition=conditions, label=labels)),
        "lens": plot_logit_lens(make(condition=conditions, layer=layers, quantity=lens)),
        "lens delta": plot_logit_lens_delta(make(condition=others, layer=layers, quantity=lens)),
        "alignment": plot_alignment(make(condition=conditions, layer=layers, position=positions, quantity=alike)),
        "alignment delta": plot_alignment_delta(
            make(condition=others, layer=layers, position=positions, quantity=alike)
        ),
        "pca": plot_projection(points, points),
        "pca of one layer": plot_projection(points, points, layers=[6]),
    }


def overflow(figure: Figure) -> float:
    """Inches by which anything drawn (tick labels, names, legends) reaches beyond the figure."""
    drawn = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    return round(max(-drawn.x0, -drawn.y0, drawn.x1 - width, drawn.y1 - height, 0), 2)


@pytest.mark.parametrize(
    ("n_languages", "conditions"),
    [(20, ["base", "aligned"]), (3, ["base", "aligned"]), (6, ["base", "translation-zh-de", "copy-control-zh-de"])],
)
def test_nothing_is_clipped_and_figures_fit_a_page(n_languages, conditions):
    drawn = figures(n_languages, conditions)
    with figure_style():
        for figure in drawn.values():
            figure.get_layout_engine().execute(figure)
        assert {name: overflow(figure) for name, figure in drawn.items()} == dict.fromkeys(drawn, 0)
    for figure in drawn.values():
        width, height = figure.get_size_inches()
        assert width <= TWO_COLUMNS + 1e-9
        assert height <= 9


def test_clipping_would_be_seen():
    figure = Figure(figsize=(2, 1))
    figure.text(0.9, 0.5, "a long text that does not fit")
    assert overflow(figure) > 0.5
