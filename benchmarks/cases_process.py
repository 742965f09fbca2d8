"""Whole commands: how long `--help` takes, and a study that has nothing left to do."""

import subprocess
import sys
from pathlib import Path

from .measure import interleaved
from .subjects import Sizes
from .table import Outcome, Row

CASE = "command"
COMMAND = str(Path(sys.executable).with_name("babelscope"))


def run(sizes: Sizes, study: Path | None) -> Outcome:
    rows = [_row("babelscope --help", ["--help"], sizes.starts)]
    if study is not None:
        if not (study / "manifest.json").is_file():
            raise SystemExit(f"{study} holds no manifest.json, so it is not a complete study. Run it once first.")
        arguments = ["study", "run", str(study / "study.yaml"), "--out", str(study)]
        rows.append(_row("study run, already complete", arguments, sizes.starts))
    return Outcome(rows)


def _row(name: str, arguments: list[str], starts: int) -> Row:
    def start() -> None:
        subprocess.run([COMMAND, *arguments], check=True, capture_output=True)

    start()  # Files are read from disk once.
    return Row(CASE, name, interleaved({name: start}, starts)[name])
