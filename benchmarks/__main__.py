"""Run the benchmarks and print a Markdown page. Example: `python -m benchmarks --out docs/benchmarks.md`"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import (
    cases_cache,
    cases_capture,
    cases_disk,
    cases_overhead,
    cases_process,
    cases_profile,
    cases_scaling,
    cases_store,
    cases_tasks,
    cases_training,
)
from .measure import say
from .subjects import FULL, QUICK, Sizes
from .table import Outcome, markdown

CASES: dict[str, Callable[[Sizes], Outcome]] = {
    "capture": cases_capture.run,
    "overhead": cases_overhead.run,
    "training": cases_training.run,
    "disk": cases_disk.run,
    "store": cases_store.run,
    "cache": cases_cache.run,
    "profile": cases_profile.run,
    "scaling": cases_scaling.run,
    "tasks": cases_tasks.run,
    "process": cases_process.run,
}


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    options = _options()
    sizes = QUICK if options.quick else FULL
    outcomes = []
    for name in options.only or CASES:
        say(f"{name} ...")
        started = time.perf_counter()
        outcomes.append(CASES[name](sizes))
        say(f"{name}: {time.perf_counter() - started:.0f} s")
        _write(outcomes, options.out)  # what was measured is kept, whatever happens to the next case
    if options.study:
        outcomes.append(cases_process.run_again(sizes, options.study))
    print(_write(outcomes, options.out), end="")


def _write(outcomes: list[Outcome], out: Path | None) -> str:
    page = markdown(outcomes, " ".join(["python -m benchmarks", *sys.argv[1:]]))
    if out:
        out.write_text(page, encoding="utf-8")
    return page


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", action="append", choices=CASES, help="run this case; may be given more than once")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether everything runs, not how fast")
    parser.add_argument("--study", type=Path, help="folder of a complete study, to time running it again")
    parser.add_argument("--out", type=Path, help="write the Markdown page to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
