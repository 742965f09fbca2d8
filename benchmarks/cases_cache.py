"""Whether the memory of filling a cache grows with the number of prompts."""

import tempfile
from pathlib import Path

from babelscope.activations.cache import Request, write_cache
from babelscope.tasks import Asking, load_task

from .measure import apart, peak
from .subjects import Sizes, enlarged, random_llama
from .table import Outcome, at_most, timed

LANGUAGES = ("en", "de")
D_MODEL, LAYERS = 128, 4


def run(sizes: Sizes) -> Outcome:
    few, many = sizes.cached
    small, large = (apart(of_filling, number) for number in (few, many))
    ratio = large / small
    held = 2 * many * (LAYERS + 1) * D_MODEL * 4 / 1e6
    return Outcome(
        "Memory of filling a cache",
        [
            timed(f"{few:,} prompts", peak=small),
            timed(f"{many:,} prompts", peak=large, memory=ratio, target=at_most(ratio, 1.1)),
        ],
        [
            f"Random llama (d_model {D_MODEL}, {LAYERS} layers), float32, no demonstrations, "
            f"{len(LANGUAGES)} languages; the memory of the whole process. The ratio is {many:,} to {few:,} prompts: "
            f"{(large - small) * 1e3 / (many - few):.2f} kB for each further prompt. "
            f"Holding all states of the larger cache would take {held:,.0f} MB."
        ],
    )


def of_filling(number: int) -> float:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = random_llama(folder / "model", D_MODEL, LAYERS)
        task = load_task("sentiment")
        requests = {
            name: Request(enlarged(task, LANGUAGES, size // len(LANGUAGES)), LANGUAGES, Asking(0), dtype="float32")
            for name, size in {"warm": 16, "measured": number}.items()
        }
        write_cache(model, requests["warm"], folder / "warm.h5")
        return peak(lambda: write_cache(model, requests["measured"], folder / "measured.h5"))
