"""The gallery's page and pictures are those of the drawings there are."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from babelscope.errors import StudyError
from babelscope.figures import drawings
from babelscope.viz.style import LANGUAGES, language_color
from matplotlib.colors import to_rgb
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
MEGABYTE = 2**20


def load():
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_that_of_the_drawings_and_pictures_there_are():
    gallery = load()
    page = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert page == gallery.render({path.stem for path in (DOCS / "figures").iterdir()}), "run `make gallery`"
    for drawing in drawings():
        assert f"`{drawing.name}`" in page
        assert ((DOCS / "figures" / f"{drawing.name}.webp").is_file()) == (f"figures/{drawing.name}.webp" in page)


def test_a_drawing_without_a_picture_is_listed_as_such():
    page = load().render({"accuracy"})
    assert page.index("figures/accuracy.webp") < page.index("## Not drawn here") < page.index("`umap`")


def test_pictures_have_every_language_in_its_colour():
    with Image.open(DOCS / "figures" / "pca.webp") as picture:
        seen = np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0).astype(int)
    for language in LANGUAGES:
        own = np.array(to_rgb(language_color(language))) * 255
        assert np.abs(seen - own).max(axis=1).min() <= load().STEP / 2, language


def test_a_run_without_all_tables_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "tables").mkdir()
    for drawing in drawings():
        for name in drawing.tables:
            (tmp_path / "tables" / f"{name}.csv").write_text("layer\n1\n")
    (tmp_path / "tables" / "umap.csv").unlink()
    with pytest.raises(StudyError, match=r"lacks 1 of the tables .*: umap\. Make them: `babelscope study run"):
        load().tables_of(tmp_path)
    with pytest.raises(
        StudyError, match=r"missing lacks 3\d of the tables .*: accuracy, accuracy_delta, aligned_umap, ...\. Make"
    ):
        load().tables_of(tmp_path / "missing")


def test_pictures_are_small():
    assert sum(path.stat().st_size for path in (DOCS / "figures").iterdir()) < 4 * MEGABYTE
