"""How throughput and bytes grow with prompts, layers, width and processes, on small llamas with random weights."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.models import open_model
from babelscope.ranks import current
from babelscope.tasks import load_task

from .subjects import Sizes, enlarged, random_llama
from .table import Outcome, Row

LANGUAGES = ("en", "de")


@dataclass(frozen=True)
class Point:
    prompts: int
    layers: int = 4
    d_model: int = 128
    ranks: int = 1


def run(sizes: Sizes) -> Outcome:
    few, most = sizes.scaled[0], sizes.scaled[-1]
    points = {
        "prompts": [Point(n) for n in sizes.scaled],
        "layers": [Point(few, layers=n) for n in (4, 8, 16)],
        "width": [Point(few, d_model=n) for n in (128, 256, 512)],
        "processes": [Point(most, ranks=n) for n in (1, 2)],
    }
    measured = {point: _measure(point) for point in {point for group in points.values() for point in group}}
    rows = [_row(name, point, group[0], measured) for name, group in points.items() for point in group]
    return Outcome(
        "Scaling",
        rows,
        [
            "Random llamas (4 heads, MLP twice the width, vocabulary 600), float32, two-shot prompts in two languages, "
            "one thread for each process, all under torchrun; starting and opening the model are not counted. "
            "The ratios are to the first row of the same group."
        ],
    )


def _row(group: str, point: Point, first: Point, measured: dict[Point, tuple[float, int]]) -> Row:
    (seconds, n_bytes), (_, first_bytes) = measured[point], measured[first]
    speed, first_speed = point.prompts / seconds, first.prompts / measured[first][0]
    return Row(
        f"{group}: {point.prompts:,} prompts, {point.layers} layers, width {point.d_model}, {point.ranks} process"
        + ("es" if point.ranks > 1 else ""),
        {
            "seconds": f"{seconds:.2f}",
            "prompts/s": f"{speed:,.0f}",
            "ratio of prompts/s": f"{speed / first_speed:.2f}",
            "MB on disk": f"{n_bytes / 1e6:.1f}",
            "ratio of bytes": f"{n_bytes / first_bytes:.2f}",
        },
    )


def _measure(point: Point) -> tuple[float, int]:
    """Seconds and bytes of one cache, by processes of their own."""
    with tempfile.TemporaryDirectory() as scratch:
        model, out = Path(scratch) / "model", Path(scratch) / "cache.h5"
        random_llama(model, point.d_model, point.layers)
        launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(point.ranks)]
        command = [sys.executable, *launcher, "-m", __name__, str(model), str(out), str(point.prompts)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        with Cache(out) as cache:
            return float(done.stdout), cache.n_bytes


def _rank(folder: str, out: str, prompts: int) -> None:
    """One process: fill its share of a cache; the first one prints the seconds that all together took."""
    torch.set_num_threads(1)
    ranks, model = current(), open_model(folder, dtype="float32", device="cpu")
    task = load_task("sentiment")
    for number, path in ((16, Path(out).with_name("warm.h5")), (prompts, Path(out))):
        request = Request(enlarged(task, LANGUAGES, number // len(LANGUAGES)), LANGUAGES, dtype="float32")
        ranks.wait()
        started = time.perf_counter()
        write_cache(model, request, path)
        seconds = time.perf_counter() - started
    if ranks.first:
        print(seconds)


if __name__ == "__main__":
    _rank(sys.argv[1], sys.argv[2], int(sys.argv[3]))
