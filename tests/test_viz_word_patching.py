"""Figures of concept patching and of patchscopes show their tables."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.probes.concept import QUANTITIES
from babelscope.viz.concept import LINES, concept_figure
from babelscope.viz.patchscopes import patchscopes_figure


def table(columns: dict[str, tuple[object, ...]]) -> pd.DataFrame:
    """All combinations; the value is the row's number in thousandths, in an interval of ten."""
    rows = pd.DataFrame(list(product(*columns.values())), columns=list(columns))
    value = np.arange(len(rows)) / 1000
    return rows.assign(value=value, ci_low=value - 0.005, ci_high=value + 0.005)


def rows_of(values: pd.DataFrame, **where: object) -> np.ndarray:
    found = values[np.logical_and.reduce([values[key] == value for key, value in where.items()])]
    return found.sort_values("layer")[["layer", "value"]].to_numpy(dtype=float)


def test_concept_lines_are_the_pooled_rows() -> None:
    keys = {"language": ("zh", "all"), "condition": ("aligned", "base")}
    inner = {"position": ("word", "answer"), "layer": (4, 1), "source": ("single", "mean"), "quantity": QUANTITIES}
    patching, unpatched = table(keys | inner), table(keys | {"quantity": QUANTITIES})
    figure = concept_figure(patching, unpatched)
    assert len(figure.axes) == 8
    assert set(LINES) == set(QUANTITIES)
    assert figure.axes[5].get_title() == ""
    assert figure.axes[1].get_title() == "base\nmean source"
    where = {"language": "all", "condition": "base", "position": "answer", "source": "mean"}
    lines = {line.get_gid(): line for line in figure.axes[5].lines}
    for quantity in QUANTITIES:
        np.testing.assert_allclose(lines[quantity].get_xydata(), rows_of(patching, quantity=quantity, **where))
    plain = unpatched.query("language == 'all' and condition == 'base'").set_index("quantity")["value"]
    assert lines["unpatched"].get_ydata()[0] == plain["target_concept_target_language"]
    with pytest.raises(DataError, match="no rows with language = 'all'"):
        concept_figure(patching[patching["language"] == "zh"], unpatched)


def test_patchscopes_lines_are_the_pooled_rows() -> None:
    values = table(
        {
            "language": ("de", "all"),
            "condition": ("base", "aligned"),
            "word": ("english", "own"),
            "prompt": ("identity", "translation"),
            "layer": (1, 4),
            "quantity": ("probability", "control", "recognised"),
        }
    )
    figure = patchscopes_figure(values)
    assert len(figure.axes) == 2 * 4
    assert figure.axes[1].get_title() == "translation prompt\nenglish word"
    where = {"language": "all", "word": "english", "prompt": "translation"}
    lines = {line.get_gid(): line for line in figure.axes[1].lines}
    expected = rows_of(values, condition="aligned", quantity="probability", **where)
    np.testing.assert_allclose(lines["aligned"].get_xydata(), expected)
    expected = rows_of(values, condition="base", quantity="control", **where)
    np.testing.assert_allclose(lines["control"].get_xydata(), expected)
    assert {line.get_gid() for line in figure.axes[5].lines} == {"base", "aligned"}
    with pytest.raises(DataError, match="missing column"):
        patchscopes_figure(values.drop(columns="prompt"))
