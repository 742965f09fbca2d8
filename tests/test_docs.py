"""What the documentation says can be typed, is typed here."""

import ast
import os
import re
import subprocess
from pathlib import Path

import babelscope
import pytest
from babelscope.analyses import ANALYSES
from babelscope.settings import load_study
from babelscope.terminal.hints import HINTS
from commandline import parse

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "activations").glob("*.md")])
TEXT = {page: page.read_text(encoding="utf-8") for page in PAGES}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [
        line for text in TEXT.values() for block in blocks(text, "(?:bash|console)") for line in block.splitlines()
    ]
    return sorted({line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?babelscope ", line)})


@pytest.mark.parametrize("line", commands())
def test_documented_commands_parse(line: str) -> None:
    parse(line)


def test_a_line_that_cannot_be_typed_does_not_parse() -> None:
    for line in ("babelscope eval base.h5 --layers 3", "babelscope cache list", "babelscope train --pairs zh-en"):
        with pytest.raises(Exception, match=r"No such (option|command)|Missing parameter: model"):
            parse(line)


def test_readme_counts_the_probes() -> None:
    told = r"(\w+) probes, each .*?; (\w+) read the\s+cache alone, (\w+) run the model"
    counted = re.search(told, TEXT[ROOT / "README.md"], re.DOTALL)
    assert counted is not None
    counts = {"Fifteen": 15, "eight": 8, "seven": 7}
    every, read, run = (counts[word] for word in counted.groups())
    assert every == read + run == len(ANALYSES)


def test_readme_documents_every_command() -> None:
    documented = " ".join(commands())
    for name in ("models import", "tasks check", "train", "cache", "eval", "probe", "plot", "report", "study run"):
        assert f"babelscope {name}" in documented, name


def test_python_in_the_readme_uses_what_exists() -> None:
    (code,) = blocks(TEXT[ROOT / "README.md"], "python")
    names = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "babelscope"
    }
    assert names
    for name in names:
        assert hasattr(babelscope, name), name


def test_every_command_has_a_python_name() -> None:
    table = dict(re.findall(r"^\| `([a-z ]+)` \| (.*) \|$", TEXT[ROOT / "docs" / "terminal.md"], flags=re.MULTILINE))
    assert set(table) == {name.split(",")[0] for name in HINTS}
    for names in table.values():
        for name in re.findall(r"`(\w+)`", names):
            assert name in babelscope.__all__, name


def test_public_names_exist() -> None:
    for name in babelscope.__all__:
        assert hasattr(babelscope, name)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        babelscope.nothing  # noqa: B018


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", TEXT[page]):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    "path",
    sorted(set((ROOT / "studies").rglob("*.yaml")) - {ROOT / "studies" / "accelerate-fsdp.yaml"}),
    ids=lambda path: path.name,
)
def test_study_files_are_valid(path: Path) -> None:
    assert load_study(path).name


def test_make_targets_of_the_readme_exist() -> None:
    targets = set(re.findall(r"`make ([a-z-]+)`", "".join(TEXT.values())))
    assert {"demo", "test"} <= targets
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_the_slurm_job_hands_its_cpus_to_every_node(tmp_path: Path) -> None:
    """Two commands of Slurm's stand in, the second says what it was given."""
    for name, text in (("scontrol", "printf 'node1\\nnode2\\n'"), ("srun", 'echo "$@"')):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_ID": "7",
        "SLURM_CPUS_PER_TASK": "32",
    }
    environment = os.environ | slurm | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    job = ["bash", str(ROOT / "studies" / "slurm.sh"), "study.yaml", "runs/study"]
    ran = subprocess.run(job, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert ran[:2] == ["--cpus-per-task=32", "torchrun"]
    assert ran[ran.index("--rdzv-endpoint") + 1] == "node1:29500"
    parse(" ".join(["babelscope", *ran[ran.index("babelscope") + 1 :]]))
