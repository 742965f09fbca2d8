"""Colours, markers and tones are the same everywhere."""

import subprocess
import sys
from itertools import combinations

import matplotlib
import pytest
from babelscope.viz.style import (
    ALIGNED,
    BASE,
    FURTHER,
    LANGUAGES,
    condition_tones,
    figure_style,
    language_color,
    language_marker,
    lighten,
)


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


def test_lighten_reaches_from_the_colour_to_white():
    assert lighten("#102030", 0) == "#102030"
    assert lighten("#102030", 1) == "#ffffff"


def test_style_is_undone_and_keeps_text_editable():
    before = matplotlib.rcParams["font.size"], matplotlib.rcParams["pdf.fonttype"]
    with figure_style():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
        assert matplotlib.rcParams["font.size"] == pytest.approx(7.5)
    assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["pdf.fonttype"]) == before
