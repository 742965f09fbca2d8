"""Colours, markers and tones are the same everywhere."""

import subprocess
import sys
from itertools import combinations

import matplotlib
import numpy as np
import pytest
from babelscope.errors import UsageError
from babelscope.viz.style import (
    ALIGNED,
    BASE,
    FURTHER,
    GAIN,
    LANGUAGES,
    LOSS,
    NEUTRAL,
    THEMES,
    Style,
    condition_tones,
    fade,
    figure_style,
    language_color,
    language_marker,
    page_width,
    theme,
)
from matplotlib.colors import to_rgb

# Machado, Oliveira and Fernandes 2009 (doi 10.1109/TVCG.2009.113), severity 1: linear RGB as it is seen.
VISION = {
    "common": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ],
}  # fmt: skip
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(color: str) -> np.ndarray:
    rgb = np.array(to_rgb(color))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(color: str, vision: str) -> np.ndarray:
    """CIELAB of a colour (D65) as someone with that colour vision sees it."""
    xyz = TO_XYZ @ np.clip(np.array(VISION[vision]) @ linear(color), 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    """Of relative luminances (WCAG 2.2), from 1 to 21."""
    low, high = sorted(float(TO_XYZ[1] @ linear(color)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("vision", VISION)
def test_languages_of_one_marker_are_told_apart_with_any_colour_vision(vision):
    for one, other in combinations(LANGUAGES, 2):
        if language_marker(one) == language_marker(other):
            apart = np.linalg.norm(lab(language_color(one), vision) - lab(language_color(other), vision))
            assert apart > 25, (one, other)  # 2.3 is a difference that is just noticed


def test_all_languages_differ_in_colour_with_common_vision():
    colors = [lab(language_color(code), "common") for code in LANGUAGES]
    assert min(np.linalg.norm(a - b) for a, b in combinations(colors, 2)) > 12


@pytest.mark.parametrize("name", THEMES)
def test_everything_stands_out_from_the_paper(name):
    paper = THEMES[name].paper
    for color in [*map(language_color, LANGUAGES), *(t.color for t in (BASE, *FURTHER)), GAIN, LOSS, NEUTRAL]:
        assert contrast(color, paper) >= 3, color
    assert contrast(THEMES[name].ink, paper) >= 7


def test_contrast_is_that_of_its_definition():
    assert contrast("white", "black") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.01)


def test_a_style_holds_inside_and_is_undone():
    with figure_style(Style("dark", "one")):
        assert theme() is THEMES["dark"]
        assert page_width() == pytest.approx(3.03)
        assert condition_tones(["base", "aligned"])["aligned"].color == THEMES["dark"].ink
        with figure_style():  # as figures call it
            assert theme() is THEMES["dark"]
            assert matplotlib.rcParams["figure.facecolor"] == THEMES["dark"].paper
    assert theme() is THEMES["light"]


def test_an_unknown_style_is_named():
    with pytest.raises(UsageError, match=r"No style 'sepia' for figures. Known: light, dark"):
        Style("sepia")
    with pytest.raises(UsageError, match=r"No width 'three' for figures. Known: one, two, iclr"):
        Style(width="three")


def test_languages_of_one_family_differ_in_marker_and_all_languages_in_look():
    looks = {code: (language_color(code), language_marker(code)) for code in LANGUAGES}
    assert len(LANGUAGES) == 20
    assert len(set(looks.values())) == 20
    for one, other in combinations(LANGUAGES, 2):
        if LANGUAGES[one][0] == LANGUAGES[other][0]:
            assert LANGUAGES[one][2] != LANGUAGES[other][2]


def test_unknown_language_looks_the_same_in_every_process():
    code = "from babelscope.viz.style import *; print(language_color('xx'), language_marker('xx'))"
    runs = []
    for seed in ("1", "2"):
        environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed}
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        runs.append(run)
    assert runs[0].stdout == runs[1].stdout == f"{language_color('xx')} {language_marker('xx')}\n"
    assert language_color("xx") != language_color("yy")


def test_base_and_aligned_never_change_their_tone():
    assert condition_tones(["base", "aligned"]) == {"base": BASE, "aligned": ALIGNED}
    assert condition_tones(["base", "copy", "aligned"]) == {"base": BASE, "copy": FURTHER[0], "aligned": ALIGNED}
    assert condition_tones(["base", "my-adapter"])["my-adapter"] == ALIGNED
    assert list(condition_tones(["base", "copy", "aligned"])) == ["base", "copy", "aligned"]


def test_fade_reaches_from_the_colour_to_the_paper():
    with figure_style(Style("dark")):
        assert fade("#102030", 1) == THEMES["dark"].paper
    assert fade("#102030", 0) == "#102030"
    assert fade("#102030", 1) == "#ffffff"


def test_style_is_undone_and_keeps_text_editable():
    before = matplotlib.rcParams["font.size"], matplotlib.rcParams["pdf.fonttype"]
    with figure_style():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
        assert matplotlib.rcParams["font.size"] == pytest.approx(7.5)
    assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["pdf.fonttype"]) == before
