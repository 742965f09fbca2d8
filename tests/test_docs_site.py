"""What the site makes of the code is complete, links lead somewhere, and the code on its pages runs."""

import ast
import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import babelscope
import numpy as np
import pytest
import typer.main
from babelscope import cli, settings
from babelscope.activations.store import Cache
from babelscope.models import FAMILIES, Family
from cli_pages import cli_pages
from hooks import generated_pages, site_paths
from page_links import LINK, site_links
from python_pages import python_pages
from study_page import TABLES, study_page
from typer.core import TyperGroup
from typer.testing import CliRunner

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def sections() -> dict[str, str]:
    """What the pages of the command line say of each command."""
    text = "\n".join(page for name, page in cli_pages().items() if name != "index.md")
    heading, *rest = re.split(r"^#+ (babelscope .+)$", text, flags=re.MULTILINE)
    assert not heading
    return dict(zip(rest[::2], rest[1::2], strict=True))


def command_tree(command: Any, name: str) -> dict[str, Any]:
    """Every command as Typer parses it."""
    found = {name: command}
    for part, below in command.commands.items() if isinstance(command, TyperGroup) else ():
        found |= command_tree(below, f"{name} {part}")
    return found


def test_every_command_and_option_has_its_place() -> None:
    tree = command_tree(typer.main.get_command(cli.app), "babelscope")
    told, index = sections(), cli_pages()["index.md"]
    assert told.keys() == tree.keys() - {"babelscope"}
    for name, text in (told | {"babelscope": index}).items():
        assert name == "babelscope" or f"[`{name}`]" in index
        for parameter in tree[name].params:
            if parameter.name != "help":
                names = parameter.opts if parameter.opts[0].startswith("-") else [parameter.name.upper()]
                (row,) = (line for line in text.splitlines() if re.match(rf"\| `{names[0]}(\.\.\.)?`", line))
                assert all(option in row for option in names)
                assert parameter.help.replace("|", "\\|") in row
                assert ("required" in row) == parameter.required
    assert "babelscope cache merge zh.h5 sw.h5 --out both.h5" in told["babelscope cache merge"]
    assert "`5000`" in told["babelscope probe"]


def test_every_public_name_and_every_file_of_probes_is_in_the_reference() -> None:
    pages = python_pages()
    assert re.findall(r"^::: babelscope\.(\w+)$", pages["index.md"], flags=re.MULTILINE) == babelscope.__all__
    modules = {path.stem for path in (ROOT / "probes").glob("*.py")} - {"__init__"}
    assert {name for name in pages if name.startswith("probes/")} == {f"probes/{m}.md" for m in modules | {"index"}}
    assert "::: babelscope.probes.cosines\n" in pages["probes/cosines.md"]


def test_every_key_of_a_study_file_is_told() -> None:
    generated, guide = study_page(), (DOCS / "studies.md").read_text(encoding="utf-8")
    for model in TABLES.values():
        for key in model.model_fields:
            assert f"\n| `{key}` |" in generated
            assert f"`{key}`" in guide, key
    assert "| `shots` | `integer 0 to 8 or null` | `null` | null: as many as in arXiv 2405.13816" in generated
    assert {model for model in vars(settings).values() if isinstance(model, type) and "Settings" in model.__name__} <= {
        *TABLES.values()
    }


def test_links_are_moved_with_their_pages() -> None:
    pages = {"docs/data.md": "data.md", "docs/figures/a.png": "figures/a.png", "probes/pca.py": "reference/pca.md"}
    text = "[data](docs/data.md#keys) ![a](docs/figures/a.png) [pca](probes/pca.py) [cli.py](cli.py) [x](https://x.org)"
    assert site_links(text, "README.md", "index.md", pages) == (
        "[data](data.md#keys) ![a](figures/a.png) [pca](reference/pca.md) `cli.py` [x](https://x.org)"
    )
    assert site_links("[pca](../probes/pca.py)", "docs/m.md", "probes/m.md", pages) == "[pca](../reference/pca.md)"
    fenced = "```python\nx = y[0](docs/data.md)\n```"
    assert site_links(fenced, "README.md", "index.md", pages) == fenced


def test_links_of_the_site_lead_to_its_pages() -> None:
    paths = site_paths()
    assert {path.relative_to(ROOT).as_posix() for path in (DOCS / "figures").rglob("*.*")} <= set(paths)
    pages = {*paths.values(), *generated_pages()}
    for written, shown in paths.items():
        if written.endswith(".md"):
            moved = site_links((ROOT / written).read_text(encoding="utf-8"), written, shown, paths)
            for _, _, target, _ in LINK.findall(moved):
                if "://" not in target and "```" not in moved[: moved.index(target)].rpartition("\n\n")[2]:
                    assert posixpath.normpath(posixpath.join(posixpath.dirname(shown), target)) in pages, target


def test_the_method_page_names_what_there_is() -> None:
    text = " ".join((DOCS / "method.md").read_text(encoding="utf-8").split())
    named = re.findall(r"\[([\w/]+\.py)\]\(\.\./\1\)((?:, `\w+`)+)", text)
    assert {path for path, _ in named} >= {f"probes/{name}.py" for name in ("cosines", "neighbours", "statistics")}
    for path, names in named:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        there = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert set(re.findall(r"`(\w+)`", names)) <= there, path
    assert text.count("Code: ") == text.count("### ")


@pytest.fixture(scope="module")
def caches(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base.h5, states in float32, and bits.h5, in bfloat16."""
    folder = tmp_path_factory.mktemp("caches")
    for name, dtype in (("base.h5", "float32"), ("bits.h5", "bfloat16")):
        shape = ("--languages", "en,fr", "--limit", "8", "--shots", "1", "--dtype", dtype, "--device", "cpu")
        arguments = ("cache", "--model", str(tiny_folder("llama")), *shape, "--unchecked", "--out", str(folder / name))
        assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    return folder


@pytest.mark.parametrize("name", ["base.h5", "bits.h5"])
def test_plain_h5py_reads_what_babelscope_reads(
    caches: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(caches)
    code = "".join(blocks("reading-caches.md", "python")).replace("base.h5", name)
    found: dict[str, Any] = {}
    exec(code, found)
    with Cache(Path(name)) as cache:
        np.testing.assert_array_equal(found["last"], cache.states("last", 2))
        right = cache.examples()["label"].to_numpy() == np.array(cache.labels)[cache.scores().full.argmax(axis=1)]
    assert f"fr {right[8:].mean()}" in capsys.readouterr().out
    assert found["difference"].shape == (8, 32)


def test_the_tutorial_draws_its_figure(caches: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("probe", "linear", str(caches / "base.h5"), "--out", "closer", "--draws", "100")
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0
    (code,) = blocks("tutorial.md", "python")
    drawn: dict[str, Any] = {}
    exec(code, drawn)
    assert Path("french.png").is_file()
    assert [len(ax.lines[0].get_xdata()) for ax in drawn["axes"]] == [4, 4]
    assert [line.is_dashed() for line in drawn["axes"][0].lines] == [True, False]  # base, aligned


def test_the_row_of_a_family_is_as_told() -> None:
    (row,) = blocks("own-model.md", "python")
    assert eval(f"{{{row}}}", {"Family": Family}) == {"qwen3": FAMILIES["qwen3"]}
