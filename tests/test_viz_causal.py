"""Repair and transplant figures show their tables."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.repair import repair_delta_figure, repair_figure
from babelscope.viz.style import language_marker
from babelscope.viz.transplant import transplant_figure


def repair_values() -> pd.DataFrame:
    rows = [
        (code, condition, position, layer, source, quantity, 0.1 * layer + 0.2 * j, 0.1 * layer, 0.1 * layer + 0.3)
        for code in ("de", "all")
        for condition in ("aligned", "base")
        for position in ("last", "question")
        for layer in (1, 4, 6)
        for j, source in enumerate(("parallel", "same label", "other label"))
        for quantity in ("repaired", "broken")
    ]
    columns = ["language", "condition", "position", "layer", "source", "quantity", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def transplant_deltas() -> pd.DataFrame:
    rows = [
        (
            code,
            "copy",
            kind,
            layer,
            against,
            "accuracy",
            0.5 + 0.3 * (against == "copy"),
            0.05 * layer,
            0.0,
            0.1 * layer,
        )
        for code in ("de", "all")
        for kind in ("adapter_up_to", "state_into_base")
        for layer in (6, 3)
        for against in ("base", "copy")
    ]
    columns = [
        "language",
        "condition",
        "kind",
        "layer",
        "against",
        "quantity",
        "reference",
        "delta",
        "ci_low",
        "ci_high",
    ]
    return pd.DataFrame(rows, columns=columns)


def test_repair_lines_are_the_pooled_rows() -> None:
    figure = repair_figure(repair_values())
    assert len(figure.axes) == 2 * 4
    assert figure.axes[0].get_title() == "base\nposition: last"
    lines = {line.get_gid(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["same label"].get_xydata(), [[1, 0.3], [4, 0.6], [6, 0.8]])
    assert {"interval parallel", "interval same label"} <= {band.get_gid() for band in figure.axes[0].collections}


def test_repair_map_is_against_the_same_label() -> None:
    table = repair_values().query("source == 'same label'").rename(columns={"source": "against", "value": "delta"})
    figure = repair_delta_figure(table.assign(p_holm=0.01))
    (image,) = figure.axes[0].images
    np.testing.assert_allclose(image.get_array(), [[0.3, 0.6, 0.8]] * 2)
    with pytest.raises(DataError, match="no rows with against = 'same label'"):
        repair_delta_figure(table.assign(p_holm=0.01, against="other label"))


def test_transplant_shows_the_whole_difference_beside_the_curve() -> None:
    figure = transplant_figure(transplant_deltas())
    assert len(figure.axes) == 2
    lines = {line.get_gid(): line for line in figure.axes[0].lines}
    np.testing.assert_allclose(lines["mean"].get_xydata(), [[3, 0.15], [6, 0.3]])
    np.testing.assert_allclose(lines["whole"].get_ydata(), [0.3, 0.3])
    np.testing.assert_allclose(lines["language de"].get_xydata(), [[3, 0.15], [6, 0.3]])
    assert lines["language de"].get_marker() == language_marker("de")
    assert "interval de" in {band.get_gid() for band in figure.axes[0].collections}
    assert "de" in {text.get_text() for text in figure.axes[0].texts}
    assert {text.get_text() for legend in figure.legends for text in legend.get_texts()} >= {
        "de",
        "mean over languages",
    }
    with pytest.raises(DataError, match="missing column"):
        transplant_figure(transplant_deltas().drop(columns="delta"))
