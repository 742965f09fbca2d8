"""What commands print: what fits on a terminal, what follows, what pipes and machines get."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from babelscope import cli
from babelscope.errors import UsageError
from babelscope.terminal.hints import HINTS, filled_in
from babelscope.terminal.tables import arranged
from commandline import leaves, parse
from rich.console import Console
from screens import WIDTH, assert_fits
from typer.testing import CliRunner

VALUES = {
    **{name: name for name in ("name", "model", "task")},
    **{name: Path(f"a {name}") for name in ("adapter", "base", "cache", "damaged", "file", "first", "folder", "out")},
    "caches": [Path("a base.h5"), Path("it's.h5")],
    "data": "my.jsonl",
    "overrides": ["--set", "limit=2", "--set", "probes.names=[pca, umap]"],
}


def test_every_command_has_what_follows_it_or_nothing() -> None:
    assert {name.split(",")[0] for name in HINTS} == set(leaves())


@pytest.mark.parametrize("template", sorted({template for template in HINTS.values() if template}))
def test_what_follows_can_be_typed(template: str) -> None:
    for values in (VALUES, VALUES | {"adapter": None, "data": None, "file": VALUES["file"], "overrides": None}):
        line = filled_in(template, values)
        assert not re.search(r"[\[{}]", line.replace("[pca, umap]", ""))
        parse(line)


def test_hints_quote_what_a_shell_would_change() -> None:
    line = filled_in("babelscope eval {caches}[ --task {task}] --out {out}", VALUES | {"task": None})
    assert line == """babelscope eval 'a base.h5' 'it'"'"'s.h5' --out 'a out'"""


def test_options_may_stand_anywhere_and_oppose_each_other() -> None:
    quiet = CliRunner().invoke(cli.app, ["tasks", "list", "-q"])
    verbose = CliRunner().invoke(cli.app, ["tasks", "list", "--verbose"])
    machine = CliRunner().invoke(cli.app, ["tasks", "list", "--verbose", "--json"])
    assert quiet.stdout == verbose.stdout
    assert quiet.stderr == ""
    assert verbose.stderr == "Next: babelscope tasks show sentiment --languages zh,sw\n"
    assert machine.stderr == ""
    assert len(json.loads(machine.stdout)["rows"]) == 3
    assert isinstance(CliRunner().invoke(cli.app, ["-q", "tasks", "list", "-v"]).exception, UsageError)


ROWS = [
    [{"language": c, "n": 120, **{f"quantity_{i}": 1.23456e-5 * i for i in range(14)}} for c in ("en", "zh")],
    [{"path": "a/long/path/" * 9, "bytes": 123456789, "adapter": None, "states": "last, mean, " * 5, "share": 0.5}],
    [{f"long name of a text {i}": "some words " * 5 for i in range(9)}],
    [{"question": "很长的问题" * 30, "passed": True, "figure": 0.25}],
]


@pytest.mark.parametrize("rows", ROWS)
def test_rows_fit_the_terminal_whatever_they_hold(
    rows: list[dict[str, object]], capsys: pytest.CaptureFixture[str]
) -> None:
    for table in arranged(rows, WIDTH):
        Console(width=WIDTH, file=sys.stdout, markup=False).print(table)
    printed = capsys.readouterr().out
    assert_fits(printed, rows)
    letters = "".join(printed.split())
    for text in (value for row in rows for value in row.values() if isinstance(value, str)):
        assert len(letters) >= len("".join(text.split()))


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What a command writes to a real terminal of 80 columns."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, WIDTH))
    variables = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "babelscope", *arguments],
        stdout=theirs,
        stderr=theirs,
        env=variables | {"TERM": "xterm-256color"} | environment,
    ) as process:
        os.close(theirs)
        written = b""
        while chunk := _read(ours):
            written += chunk
    os.close(ours)
    assert process.returncode == 0
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # the other side was closed
        return b""


def test_a_real_terminal_gets_bold_headings_and_a_hint() -> None:
    written = on_a_terminal("models", "list")
    assert "\x1b[1m" in written
    assert "Next: babelscope models import gemma-3-270m" in written
    assert_fits(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written), [])


def test_a_dumb_terminal_gets_plain_text() -> None:
    assert "\x1b" not in on_a_terminal("models", "list", TERM="dumb")


def test_pipes_get_plain_rows_and_no_hint() -> None:
    command = [sys.executable, "-m", "babelscope", "models", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == ""
    forced = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"FORCE_COLOR": "1"})
    assert re.sub(r"\x1b\[[0-9;]*m", "", forced.stdout) == done.stdout != forced.stdout
