"""Run the benchmarks and print a Markdown page. Example: `python -m benchmarks --out docs/benchmarks.md`"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import (
    cases_cache,
    cases_capture,
    cases_disk,
    cases_overhead,
    cases_probes,
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
STUDY_CASES: dict[str, Callable[[Sizes, Path], Outcome]] = {
    "again": cases_process.run_again,
    "probes": cases_probes.run,
    "causal": cases_probes.run_model,
}


def main() -> None:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    options = _options()
    sizes = QUICK if options.quick else FULL
    outcomes = []
    of_study = {name: partial(case, study=options.study) for name, case in STUDY_CASES.items() if options.study}
    cases = CASES | of_study
    for name in options.only or cases:
        if name not in cases:
            raise SystemExit(f"--only {name} measures a complete study: give --study DIR as well.")
        say(f"{name} ...")
        started = time.perf_counter()
        outcomes.append(cases[name](sizes))
        say(f"{name}: {time.perf_counter() - started:.0f} s")
        _write(outcomes, options.out)  # what was measured is kept, whatever happens to the next case
    print(_write(outcomes, options.out), end="")


def _write(outcomes: list[Outcome], out: Path | None) -> str:
    page = markdown(outcomes, " ".join(["python -m benchmarks", *sys.argv[1:]]))
    if out:
        out.write_text(page, encoding="utf-8")
    return page


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=[*CASES, *STUDY_CASES], help="run this case; may be given more than once"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: whether everything runs, not how fast")
    parser.add_argument(
        "--study", type=Path, help="folder of a complete study of base and aligned, for the cases that measure one"
    )
    parser.add_argument("--out", type=Path, help="write the Markdown page to this file too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
