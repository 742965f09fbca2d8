"""Run the benchmarks and print one Markdown table. Example: `python -m benchmarks --out docs/benchmarks.md`"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from . import cases_cache, cases_capture, cases_overhead, cases_process, cases_store, cases_tasks, cases_training
from .measure import say
from .subjects import FULL, QUICK
from .table import Outcome, markdown


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    options = _options()
    sizes = QUICK if options.quick else FULL
    cases: dict[str, Callable[[], Outcome]] = {
        "capture": lambda: cases_capture.run(sizes),
        "overhead": lambda: cases_overhead.run(sizes),
        "training": lambda: cases_training.run(sizes),
        "process": lambda: cases_process.run(sizes, options.study),
        "cache": lambda: cases_cache.run(sizes),
        "store": lambda: cases_store.run(sizes),
        "tasks": lambda: cases_tasks.run(sizes),
    }
    outcomes = []
    for name in options.only or cases:
        say(f"{name} ...")
        started = time.perf_counter()
        outcomes.append(cases[name]())
        say(f"{name}: {time.perf_counter() - started:.0f} s")
    page = markdown(outcomes, " ".join(["python -m benchmarks", *sys.argv[1:]]))
    print(page, end="")
    if options.out:
        options.out.write_text(page, encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = ["capture", "overhead", "training", "process", "cache", "store", "tasks"]
    parser.add_argument("--only", action="append", choices=names, help="run this case; may be given more than once")
    parser.add_argument("--quick", action="store_true", help="small sizes: whether everything runs, not how fast")
    parser.add_argument("--study", type=Path, help="folder of a complete study, to time running it again")
    parser.add_argument("--out", type=Path, help="write the Markdown page to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
