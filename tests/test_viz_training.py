"""The training figure shows the curve that was logged."""

import numpy as np
import pandas as pd
import pytest
from babelscope.errors import DataError
from babelscope.viz.training import plot_training, training_figure
from matplotlib.figure import Figure


def table() -> pd.DataFrame:
    steps = np.arange(6)
    return pd.DataFrame(
        {
            "step": steps,
            "loss": [np.nan, 3.0, 2.5, 2.2, 2.0, 1.9],  # step 0 is evaluated before any training
            "val_loss": [3.2, np.nan, np.nan, 2.3, np.nan, 2.1],
            "tokens_per_second": [0, 390, 400, 380, 395, 400],
            "lr": 2e-4,
        }
    )


def test_lines_hold_the_logged_values_and_skip_missing_ones():
    lines = {line.get_label(): line.get_xydata() for line in plot_training(Figure().subplots(), table()).lines}
    np.testing.assert_allclose(lines["training"], [(1, 3.0), (2, 2.5), (3, 2.2), (4, 2.0), (5, 1.9)])
    np.testing.assert_allclose(lines["validation"], [(0, 3.2), (3, 2.3), (5, 2.1)])


def test_figure_adds_rate_and_speed():
    loss, rate, speed = training_figure(table()).axes
    assert len(loss.lines) == 2
    np.testing.assert_allclose(rate.lines[0].get_ydata(), 2e-4)
    np.testing.assert_allclose(speed.lines[0].get_ydata(), table()["tokens_per_second"])


def test_errors_name_what_is_missing():
    with pytest.raises(DataError, match="training table: missing columns val_loss, lr"):
        training_figure(table().drop(columns=["val_loss", "lr"]))
    with pytest.raises(DataError, match="training table: the table has no rows"):
        plot_training(Figure().subplots(), table().head(0))
