"""Figures are written whole or not at all."""

import pytest
from babelscope.viz.save import save_figure
from matplotlib.figure import Figure


def figure() -> Figure:
    one = Figure(figsize=(2, 1))
    one.subplots().set_title("Überschrift")
    return one


def test_formats_are_written_and_the_figure_is_emptied(tmp_path):
    drawn = figure()
    paths = save_figure(drawn, tmp_path / "new" / "v1.2")  # a dot in the name is no suffix
    assert [path.name for path in paths] == ["v1.2.png", "v1.2.pdf"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert sorted(tmp_path.rglob("*.*")) == sorted(paths)
    assert drawn.axes == []


def test_text_in_pdf_stays_text(tmp_path):
    (path,) = save_figure(figure(), tmp_path / "a", ("pdf",))
    assert b"/FontFile2" in path.read_bytes()  # TrueType, not outlines (Type 3)
    assert b"/Type3" not in path.read_bytes()


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_equal_figures_give_equal_files(tmp_path, kind):
    one, other = (save_figure(figure(), tmp_path / name, (kind,))[0] for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


def test_failure_leaves_the_old_file_and_no_remains(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"old")
    drawn = figure()

    def fails_half_way(file, **_):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(drawn, "savefig", fails_half_way)
    with pytest.raises(OSError, match="disk full"):
        save_figure(drawn, tmp_path / "a", ("png",))
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"
