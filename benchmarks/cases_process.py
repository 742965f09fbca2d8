"""Whole commands: how long `--help` takes, and a study that has nothing left to do."""

import statistics
import subprocess
import sys
from pathlib import Path

from .measure import interleaved
from .subjects import Sizes
from .table import Outcome, Row, at_most, timed

COMMAND = str(Path(sys.executable).with_name("babelscope"))


def run(sizes: Sizes) -> Outcome:
    return Outcome("The command", [_row("babelscope --help", ["--help"], sizes.starts, 0.5)])


def run_again(sizes: Sizes, study: Path) -> Outcome:
    if not (study / "manifest.json").is_file():
        raise SystemExit(f"{study} holds no manifest.json, so it is not a complete study. Run it once first.")
    arguments = ["study", "run", str(study / "study.yaml"), "--out", str(study)]
    return Outcome("A complete study, run again", [_row("babelscope study run", arguments, sizes.starts, 10)])


def _row(name: str, arguments: list[str], starts: int, bound: float) -> Row:
    def start() -> None:
        subprocess.run([COMMAND, *arguments], check=True, capture_output=True)

    start()  # Files are read from disk once.
    seconds = interleaved({name: start}, starts)[name]
    return timed(name, seconds, target=at_most(statistics.median(seconds), bound, "seconds"))
