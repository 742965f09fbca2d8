"""Real processes are killed at random moments; whatever they leave, the next run finishes, to the same bytes.

A fork server that has imported everything, and computed nothing, forks the processes: they start in milliseconds.
"""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import torch
from babelscope.activations import layout
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.activations.verify import verify
from babelscope.models import open_model
from babelscope.tasks import Asking, directions_of, load_task, question_pairs
from babelscope.training import Recipe, train

KILLS = 26  # of capture, and as many of training
PRELOADED = ["babelscope.training", "babelscope.activations.cache", "peft", "transformers.models.llama.modeling_llama"]

Job = Callable[[str, str], None]


def prepare() -> None:
    torch.set_num_threads(1)
    # A shell starts what runs in the background deaf to the keyboard, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def capture_job(model: str, out: str) -> None:
    prepare()
    layout.SHARD_ROWS = 6  # many small shards: many places to be killed at
    request = Request(load_task("sentiment"), ("en", "de", "sw"), Asking(shots=1), limit=40)
    write_cache(open_model(model, dtype="float32", device="cpu"), request, Path(out) / "base.h5")


def training_job(model: str, out: str) -> None:
    prepare()
    pairs = question_pairs(load_task("sentiment"), directions_of(["de-en"]), 60, seed=3)
    recipe = Recipe(epochs=2, pairs_per_step=4, validate_every=2, dropout=0.1)  # dropout draws random numbers
    train(open_model(model, dtype="float32", device="cpu"), pairs, recipe, Path(out) / "adapter", seed=3)


def result(folder: Path) -> dict[str, bytes]:
    """What a run leaves, but for the clock's readings."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if path.name not in ("training.csv", ".lock")}


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def run(context: ForkServerContext, job: Job, model: Path, out: Path, stop: tuple[float, int] | None = None) -> int:
    """Run to the end, or until a signal after some seconds. Returns the exit code."""
    process = context.Process(target=job, args=(str(model), str(out)))
    process.start()
    if stop is not None:
        seconds, how = stop
        process.join(seconds)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, how)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def undisturbed(context: ForkServerContext, job: Job, model: Path, folder: Path) -> float:
    """Run into `whole`, with nobody in the way. Returns the seconds it took."""
    assert run(context, job, model, folder / "warm") == 0  # the first process compiles and caches
    started = time.perf_counter()
    assert run(context, job, model, folder / "whole") == 0
    return time.perf_counter() - started


@pytest.mark.parametrize("job", [capture_job, training_job])
def test_killed_at_random_moments_it_resumes_to_the_same_bytes(
    processes: ForkServerContext, tiny_folder: Callable[[str], Path], tmp_path: Path, job: Job
) -> None:
    model = tiny_folder("llama")
    whole = undisturbed(processes, job, model, tmp_path)
    wanted = result(tmp_path / "whole")
    assert len(wanted) >= 3
    rng = random.Random(0)
    kills = outputs = 0
    while kills < KILLS:
        out = tmp_path / f"killed{outputs}"
        outputs += 1
        in_this = 0
        # The later tries are given more time, so that every output is finished.
        while (
            code := run(processes, job, model, out, (rng.uniform(0, whole) * (1 + in_this / 4), signal.SIGKILL))
        ) != 0:
            assert code == -signal.SIGKILL
            in_this += 1
        kills += in_this
        assert result(out) == wanted, f"after {in_this} kills"
    assert outputs > 1


@pytest.mark.parametrize("job", [capture_job, training_job])
def test_interrupted_from_the_keyboard_it_resumes(
    processes: ForkServerContext, tiny_folder: Callable[[str], Path], tmp_path: Path, job: Job
) -> None:
    model = tiny_folder("llama")
    whole = undisturbed(processes, job, model, tmp_path)
    codes = []
    for share in (0.3, 0.5, 0.7):
        out = tmp_path / f"out{share}"
        codes.append(run(processes, job, model, out, (share * whole, signal.SIGINT)))
        assert run(processes, job, model, out) == 0
        assert result(out) == result(tmp_path / "whole")
    assert 1 in codes  # not every one came too late


def test_what_was_written_before_the_kill_is_not_captured_again(
    processes: ForkServerContext, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Resuming must save work, not only end well."""
    model = tiny_folder("llama")
    assert run(processes, capture_job, model, tmp_path) == 0
    shards = sorted((tmp_path / "base.h5.shards").glob("*.h5"))
    times = {path: path.stat().st_mtime_ns for path in shards}
    (tmp_path / "base.h5").unlink()
    for path in shards[::3]:
        path.unlink()
    assert run(processes, capture_job, model, tmp_path) == 0
    redone = {path for path in shards if path.stat().st_mtime_ns != times[path]}
    assert redone == set(shards[::3])
    assert verify(tmp_path / "base.h5") == []


def test_power_cut_leaves_truncated_shards_that_are_captured_again_on_resume(
    processes: ForkServerContext, tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny_folder("llama")
    assert run(processes, capture_job, model, tmp_path / "whole") == 0
    assert run(processes, capture_job, model, tmp_path / "cut") == 0
    (tmp_path / "cut" / "base.h5").unlink()
    rng = random.Random(1)
    for shard in (tmp_path / "cut" / "base.h5.shards").glob("*.h5"):
        os.truncate(shard, rng.randrange(shard.stat().st_size))
    assert run(processes, capture_job, model, tmp_path / "cut") == 0
    assert result(tmp_path / "cut") == result(tmp_path / "whole")
    with Cache(tmp_path / "cut" / "base.h5") as cache:
        assert len(cache) == 120
