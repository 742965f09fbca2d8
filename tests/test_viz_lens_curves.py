"""What the lens curves plot."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.lens_curves import (
    SPOKEN,
    lens_languages_figure,
    lens_summaries_delta_figure,
    lens_summaries_figure,
    spoken_shares,
    tuned_lens_figure,
)


def shares() -> pd.DataFrame:
    rows = [
        (language, condition, layer, token, share)
        for language in ("en", "zh", "sw")
        for condition in ("base", "aligned")
        for layer in (0, 1)
        for token, share in {"en": 0.4, "zh": 0.3, "sw": 0.1, "unknown": 0.2}.items()
    ]
    return pd.DataFrame(rows, columns=["language", "condition", "layer", "token_language", "share"])


def test_kinds_of_tokens_fill_the_panel() -> None:
    each = spoken_shares(shares())
    np.testing.assert_allclose(each.groupby(["language", "condition", "layer"])["share"].sum(), 1)
    found = each.groupby(["condition", "layer", "spoken"])["share"].mean()
    assert found["base", 0, "English"] == pytest.approx(0.4)
    assert found["base", 0, "prompt's language"] == pytest.approx((0.3 + 0.1) / 2)
    assert found["base", 0, "other languages"] == pytest.approx((0.1 + 0.3) / 2)
    np.testing.assert_allclose(found.groupby(level=["condition", "layer"]).sum(), 1)
    figure = lens_languages_figure(shares())
    assert [ax.get_title() for ax in figure.axes] == list(SPOKEN)
    for ax, share in zip(figure.axes, (0.4, 0.2, 0.2, 0.2), strict=True):
        lines = {line.get_gid(): line for line in ax.lines}
        np.testing.assert_allclose(lines["mean aligned"].get_ydata(), share)
        assert [text.get_text() for text in ax.texts] == (["base", "aligned"] if ax is figure.axes[-1] else [])


def test_english_alone_has_no_languages_to_compare() -> None:
    with pytest.raises(DataError, match="logit_lens_languages table without English: the table has no rows"):
        lens_languages_figure(shares()[lambda t: t["language"] == "en"])


def values(quantities: tuple[str, ...], **more: str) -> pd.DataFrame:
    rows = [
        (language, condition, layer, quantity, layer + i)
        for i, language in enumerate(("en", "zh"))
        for condition in ("base", "aligned")
        for layer in (0, 1, 2)
        for quantity in quantities
    ]
    return pd.DataFrame(rows, columns=["language", "condition", "layer", "quantity", "value"]).assign(**more)


def test_differences_leave_out_what_another_figure_shows() -> None:
    quantities = ("english_mass", "token_energy", "kl_to_final_bits")
    deltas = values(quantities).query("condition == 'aligned'").rename(columns={"value": "delta"}).assign(p_holm=0.01)
    images = [ax.images[0] for ax in lens_summaries_delta_figure(deltas).axes if ax.images]
    assert len(images) == 2
    np.testing.assert_allclose(images[0].get_array(), [[0, 1, 2], [1, 2, 3]])
    with pytest.raises(DataError, match="without right_answer_log2_rank, token_energy"):
        lens_summaries_delta_figure(deltas[deltas["quantity"] == "english_mass"])


def test_summaries_and_lenses_show_the_mean_over_languages() -> None:
    figure = lens_summaries_figure(values(("right_answer_log2_rank", "token_energy", "kl_to_final_bits")))
    (mean,) = [line for line in figure.axes[0].lines if line.get_gid() == "mean aligned"]
    np.testing.assert_allclose(mean.get_ydata(), [0.5, 1.5, 2.5])
    quantities = ("kl_to_final_bits", "entropy_bits", "english_mass")
    table = pd.concat([values(quantities, lens=lens) for lens in ("logit", "tuned", "constant")])
    figure = tuned_lens_figure(table)
    assert len(figure.axes) == 6
    assert {line.get_gid() for line in figure.axes[0].lines} >= {"mean logit", "mean tuned", "mean constant"}
    with pytest.raises(DataError, match="no rows with quantity = 'token_energy'"):
        lens_summaries_figure(values(("right_answer_log2_rank", "kl_to_final_bits")))
