"""Words of all twenty languages can be read in figures, and a missing font is told."""

import warnings

import matplotlib
import pytest
from babelscope.tasks.languages import languages
from babelscope.viz import fonts
from babelscope.viz.fonts import SCRIPTS, FontWarning, Script, font_families, warn_of_missing
from babelscope.viz.save import save_figure
from babelscope.viz.style import figure_style
from matplotlib.figure import Figure


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_the_endonym_of_every_language_has_its_glyphs(tmp_path, kind):
    missing = [name for name in SCRIPTS if fonts._family(name) is None]
    if missing:
        pytest.skip(f"no font for {', '.join(missing)}: pip install 'babelscope[fonts]'")
    words = [row.endonym for row in languages().values()]
    assert len(words) == 20
    with figure_style(), warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = Figure(figsize=(2, 4))
        for i, word in enumerate(words):
            figure.text(0.1, i / 20, word, fontweight="bold" if i % 2 else "normal")
        (path,) = save_figure(figure, tmp_path / "words", (kind,))
    if kind == "svg":
        assert all(word in path.read_text(encoding="utf-8") for word in words)  # text, not outlines
    if kind == "pdf":
        assert b"/Type3" not in path.read_bytes()


def test_a_glyph_that_no_font_has_would_be_seen(tmp_path):
    with figure_style():
        figure = Figure()
    figure.text(0, 0, "\U00011002")  # Brahmi
    with pytest.warns(UserWarning, match=r"Glyph 69634 .* missing from font"):
        save_figure(figure, tmp_path / "a", ("png",))


def test_latin_and_cyrillic_stay_in_one_font():
    assert font_families()[0] == "DejaVu Sans"
    with figure_style():
        assert matplotlib.rcParams["font.family"] == font_families()


def test_a_script_without_a_font_is_told_with_what_to_install(monkeypatch):
    lost = Script("\u0e00-\u0e7f", ("No Such Font",), ("no_such_package", "no.ttf"), "fonts-noto-core")
    monkeypatch.setattr(fonts, "SCRIPTS", {"Thai": lost})
    monkeypatch.setattr(fonts, "_family", fonts._family.__wrapped__)
    with pytest.warns(FontWarning, match=r"No font for Thai .*babelscope\[fonts\].*apt install fonts-noto-core"):
        warn_of_missing(["accuracy", "ไทย"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_missing(["accuracy"])
