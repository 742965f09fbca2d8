"""The gallery's page and pictures are those of the drawings there are."""

import importlib.util
from pathlib import Path

from babelscope.figures import drawings

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
        assert ((DOCS / "figures" / f"{drawing.name}.png").is_file()) == (f"figures/{drawing.name}.png" in page)


def test_a_drawing_without_a_picture_is_listed_as_such():
    page = load().render({"accuracy"})
    assert page.index("figures/accuracy.png") < page.index("## Not drawn here") < page.index("`umap`")


def test_pictures_are_small():
    assert sum(path.stat().st_size for path in (DOCS / "figures").iterdir()) < 4 * MEGABYTE
