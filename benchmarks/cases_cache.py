"""Whether the memory of filling a cache grows with the number of prompts."""

import tempfile
from pathlib import Path

from babelscope.activations.cache import Request, write_cache
from babelscope.tasks import load_task

from .measure import median_apart, peak_increase
from .subjects import Sizes, enlarged, random_llama
from .table import Outcome, Row

CASE = "write_cache"
LANGUAGES = ("en", "de")
D_MODEL, LAYERS = 128, 6


def run(sizes: Sizes) -> Outcome:
    few, many = sizes.cached
    peaks = [median_apart(sizes.memory_rounds, peak, number) for number in (few, many)]
    held = 2 * len(LANGUAGES) * many * (LAYERS + 1) * D_MODEL * 4 / 1e6
    return Outcome(
        [
            Row(CASE, f"{few:,} prompts per language", peak=peaks[0]),
            Row(CASE, f"{many:,} prompts per language", peak=peaks[1], memory_ratio=peaks[1] / peaks[0]),
        ],
        [
            f"write_cache: random llama (d_model {D_MODEL}, {LAYERS} layers), float32, 2-shot, {len(LANGUAGES)} "
            f"languages; median of {sizes.memory_rounds}. The ratio is {many:,} to {few:,} prompts. Holding all states "
            f"of the larger cache would take {held:.0f} MB.",
        ],
    )


def peak(number: int) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = random_llama(folder / "model", D_MODEL, LAYERS)
        task = load_task("sentiment")
        requests = {
            name: Request(enlarged(task, LANGUAGES, size), LANGUAGES, dtype="float32")
            for name, size in {"warm": 8, "measured": number}.items()
        }
        write_cache(model, requests["warm"], folder / "warm.h5")
        return peak_increase(lambda: write_cache(model, requests["measured"], folder / "measured.h5"))
