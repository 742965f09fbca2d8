"""How long one condition takes in all tasks and languages: what a further row of a grid costs."""

import tempfile
import time
from pathlib import Path

from babelscope.activations.cache import Request, write_cache
from babelscope.tasks import KINDS, Asking, languages, load_task

from .measure import say
from .subjects import Sizes, open_real
from .table import Outcome, at_most, timed

SECONDS = 360  # wanted for all tasks in all languages


def run(sizes: Sizes) -> Outcome:
    model = open_real()
    everyone = tuple(languages())
    codes = everyone[:: sizes.every_language]
    rows, total = [], 0.0
    for name, kind in KINDS.items():
        request = Request(load_task(name), codes, Asking(kind.shots), sizes.items, keep=())
        with tempfile.TemporaryDirectory() as scratch:
            started = time.perf_counter()
            write_cache(model, request, Path(scratch) / "cache.h5")
            seconds = (time.perf_counter() - started) * len(everyone) / len(codes)
        say(f"  {name}: {seconds:.0f} s")
        rows.append(timed(f"{name}, {kind.shots}-shot", [seconds]))
        total += seconds
    return Outcome(
        f"One condition in all tasks, {len(everyone)} languages x {sizes.items} prompts",
        [*rows, timed("all tasks", [total], target=at_most(total, SECONDS, "seconds"))],
        [f"Scores alone. {len(codes)} languages were run ({', '.join(codes)}), and their seconds scaled."],
    )
