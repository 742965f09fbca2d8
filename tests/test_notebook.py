"""The notebooks in examples/ run as they stand, on a tiny model and with few questions."""

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from babelscope.models.packaged import home
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[1] / "examples" / "quickstart.ipynb"


def run(folder: Path, **parameters: object) -> list[str]:
    """Execute with other parameters; what the cells show, as HTML where they have some."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    cell.source += "\n" + "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output]
    return [output.data.get("text/html", output.data.get("text/plain", "")) for output in outputs]


@pytest.mark.notebook
def test_the_quick_start_runs_and_shows_tables(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    shown = run(tmp_path, MODEL=str(tiny_folder("qwen2")), PAIRS=6, LIMIT=4)
    for i, title in enumerate(("Task", "Prompt", "Model")):
        assert f">{title}</caption>" in shown[i]
    assert any(">Cache</caption>" in text and "aligned.h5" in text for text in shown)
    assert any('class="dataframe"' in text and "p_holm" in text for text in shown)
    assert any("<dt>Which languages lost?</dt>" in text for text in shown)
    assert (tmp_path / "quickstart" / "report.html").is_file()


def test_it_is_committed_without_outputs() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.real
@pytest.mark.skipif(not (home() / "models" / "gemma-3-270m").is_dir(), reason="gemma-3-270m is not imported")
def test_the_quick_start_runs_on_the_real_model(tmp_path: Path) -> None:
    shown = run(tmp_path, PAIRS=8, LIMIT=6)
    assert any("268,098,176" in text for text in shown)
