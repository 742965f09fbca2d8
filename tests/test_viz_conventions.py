"""What all figures have in common: axes in and out, intervals, tones, shared layer axes."""

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable

import pytest
from babelscope import viz
from babelscope.figures import drawings
from babelscope.viz.style import condition_tones, figure_style
from made_tables import made_tables
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import same_color
from matplotlib.figure import Figure

CONDITIONS = ["base", "aligned", "copy"]
WITHOUT_INTERVAL = {"training"}  # one run has none
# Lines that need no band: single languages beside a mean that has one, references, and chance.
PLAIN = ("language ", "control", "whole", "unpatched", "zero", "chance", "change")


def public(prefix: str = "", suffix: str = "") -> list[Callable[..., object]]:
    modules = [
        importlib.import_module(f"babelscope.viz.{module.name}") for module in pkgutil.iter_modules(viz.__path__)
    ]
    return [
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and name.startswith(prefix)
        and name.endswith(suffix)
        and name[0] != "_"
    ]


def test_what_plots_takes_axes_and_returns_them_and_what_composes_returns_a_figure():
    for function in public(prefix="plot_"):
        (first, *_) = inspect.signature(function).parameters
        hints = typing.get_type_hints(function)
        assert first in ("ax", "axes"), function
        assert hints["return"] in (Axes, tuple[Axes, Axes]), function
        assert hints["return"] == hints[first], function
    figures = [function for function in public(suffix="_figure") if function.__name__ != "save_figure"]
    assert len(figures) > 20
    assert all(typing.get_type_hints(function)["return"] is Figure for function in figures)


@pytest.fixture(scope="module")
def figures() -> dict[str, Figure]:
    tables = made_tables(["en", "de", "zh", "sw"], CONDITIONS)
    with figure_style():
        return {drawing.name: drawing.draw(*(tables[name] for name in drawing.tables)) for drawing in drawings()}


def test_every_line_has_its_interval(figures):
    seen = 0
    for name, figure in figures.items():
        for ax in figure.axes if name not in WITHOUT_INTERVAL else []:
            bands = {str(band.get_gid()) for band in ax.collections}
            for line in ax.lines:
                gid = str(line.get_gid())
                if len(line.get_xdata()) > 2 and line.get_linestyle() != "None" and not gid.startswith(PLAIN):
                    assert f"interval {gid}" in bands, (name, gid)
                    seen += 1
    assert seen > 100


def test_every_heat_map_of_differences_marks_what_is_significant(figures):
    maps = [ax for figure in figures.values() for ax in figure.axes if ax.images and ax.images[0].cmap.name == "RdBu"]
    marked = [ax for ax in maps if any(isinstance(c, PathCollection) for c in ax.collections)]
    matrices = [ax for name in figures if "matrix" in name for ax in figures[name].axes if ax in maps]
    assert len(marked) + len(matrices) == len(maps) > 30


def test_a_condition_has_its_tone_wherever_a_line_is_its_own(figures):
    tones = condition_tones(CONDITIONS)
    seen = 0
    for name in (
        "alignment",
        "alignment_mean",
        "lens_languages",
        "lens_summaries",
        "linear_probe",
        "patchscopes",
        "attribution",
    ):
        for ax in figures[name].axes:
            lines = {str(line.get_gid()).removeprefix("mean "): line for line in ax.lines}
            for condition in CONDITIONS:
                if condition in lines:
                    assert same_color(lines[condition].get_color(), tones[condition].color), name
                    assert lines[condition].is_dashed() == bool(tones[condition].dashes)
                    seen += 1
    assert seen >= 3 * 7


def test_panels_by_layer_share_the_layer_axis(figures):
    for name, figure in figures.items():
        by_layer = [ax for ax in figure.axes if ax.get_xlabel() == "layer" and ax.lines and ax.get_subplotspec()]
        for ax in by_layer[1:]:
            assert ax.get_shared_x_axes().joined(ax, by_layer[0]), name
