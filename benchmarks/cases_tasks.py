"""How long one condition takes in all tasks and languages: what a further row of a grid costs."""

import tempfile
import time
from pathlib import Path

from babelscope.activations.cache import Request, write_cache
from babelscope.tasks import KINDS, Asking, languages, load_task

from .measure import say
from .subjects import Sizes, open_real
from .table import Outcome, Row

CASE = "one condition"
MINUTES = 6  # for all tasks together


def run(sizes: Sizes) -> Outcome:
    model = open_real()
    codes = tuple(languages())[: sizes.languages]
    rows = []
    for name, kind in KINDS.items():
        request = Request(load_task(name), codes, Asking(kind.shots), sizes.items, keep=())
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            write_cache(model, request, Path(scratch) / "cache.h5")
            seconds = time.perf_counter() - started
        say(f"  {name}: {seconds:.0f} s")
        rows.append(Row(CASE, f"{name}, {kind.shots}-shot, {len(codes)} languages x {sizes.items}", [seconds]))
    total = sum(row.seconds[0] for row in rows)
    met = "met" if total <= 60 * MINUTES else "MISSED"
    return Outcome([*rows, Row(CASE, "all tasks", [total], target=f"<= {60 * MINUTES} s: {met}")])
