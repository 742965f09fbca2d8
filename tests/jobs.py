"""What tests of interrupted runs have in common: work for real processes, how to start them, what they leave.

A fork server that has imported everything, and computed nothing, forks the processes: they start in milliseconds.
"""

import multiprocessing
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import torch
from babelscope.activations import layout
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.merge import merge
from babelscope.activations.upgrade import upgrade
from babelscope.errors import BusyError, LostRankError
from babelscope.models import open_model
from babelscope.tasks import Asking, directions_of, load_task, question_pairs
from babelscope.training import Recipe, train

PRELOADED = ["babelscope.training", "babelscope.activations.cache", "peft", "transformers.models.llama.modeling_llama"]
LANGUAGES = ("en", "de", "sw")
BUSY, LOST = 75, 76  # exit codes of a process that was refused, and of one whose fellow was lost
PATIENCE = 60  # seconds that a process may take to end

Job = Callable[[str, str], None]


def prepare() -> None:
    torch.set_num_threads(1)
    # A shell starts what runs in the background deaf to the keyboard, and children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    layout.SHARD_ROWS = 6  # many small shards: many places to be killed at


def capture_job(model: str, out: str, languages: tuple[str, ...] = LANGUAGES, name: str = "base.h5") -> None:
    prepare()
    request = Request(load_task("sentiment"), languages, Asking(shots=1), limit=40)
    write_cache(open_model(model, dtype="float32", device="cpu"), request, Path(out) / name)


def training_job(model: str, out: str) -> None:
    prepare()
    pairs = question_pairs(load_task("sentiment"), directions_of(["de-en"]), 60, seed=3)
    recipe = Recipe(epochs=2, pairs_per_step=4, validate_every=2, dropout=0.1)  # dropout draws random numbers
    train(open_model(model, dtype="float32", device="cpu"), pairs, recipe, Path(out) / "adapter", seed=3)


def parts_job(model: str, out: str) -> None:
    for code in LANGUAGES:
        capture_job(model, out, (code,), f"{code}.h5")


def merge_job(parts: str, out: str) -> None:
    prepare()
    merge([Path(parts) / f"{code}.h5" for code in LANGUAGES], Path(out) / "base.h5")


def upgrade_job(old: str, out: str) -> None:
    prepare()
    upgrade(Path(old), Path(out) / "base.h5")


def telling(job: Job, model: str, out: str) -> None:
    """A job whose exit code says what was wrong with other processes."""
    try:
        job(model, out)
    except BusyError:
        sys.exit(BUSY)
    except LostRankError:
        sys.exit(LOST)


def as_rank(job: Job, rank: int, port: int, model: str, out: str) -> None:
    """A job as one of two processes, as torchrun starts them."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    job(model, out)


def fork_server() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def start(context: ForkServerContext, job: Job, model: Path, out: Path) -> ForkServerProcess:
    process = context.Process(target=job, args=(str(model), str(out)))
    process.start()
    return process


def start_ranks(context: ForkServerContext, jobs: tuple[Job, Job], model: Path, out: Path) -> list[ForkServerProcess]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [start(context, partial(as_rank, job, rank, port), model, out) for rank, job in enumerate(jobs)]


def ended(*processes: ForkServerProcess) -> list[int | None]:
    """Exit codes; None for a process that does not end, which is then killed."""
    codes = []
    for process in processes:
        process.join(PATIENCE)
        codes.append(process.exitcode)
        process.kill()
        process.join()
    return codes


def run(context: ForkServerContext, job: Job, model: Path, out: Path, stop: tuple[float, int] | None = None) -> int:
    """Run to the end, or until a signal after some seconds. Returns the exit code."""
    process = start(context, job, model, out)
    if stop is not None:
        seconds, how = stop
        process.join(seconds)
        if process.is_alive() and process.pid is not None:
            with suppress(ProcessLookupError):  # it may end between the look and the signal
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


def result(folder: Path) -> dict[str, bytes]:
    """What a run leaves, but for the clock's readings."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if path.name not in ("training.csv", ".lock")}


@contextmanager
def full_disk(largest: int) -> Iterator[None]:
    """No file grows beyond `largest` bytes: the same write fails in the same place as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


def command(n: int, *arguments: str) -> list[str]:
    """`python -m babelscope`, or the same under torchrun."""
    together = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(n), "-m"]
    return [sys.executable, "-m", *(together if n > 1 else []), "babelscope", *arguments]


def launch(n: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in `n` processes; one thread each, as torchrun has it."""
    return _completed(command(n, *arguments))


def accelerated(n: int, *arguments: str, how: str = "--multi_gpu") -> subprocess.CompletedProcess[str]:
    """The same with `accelerate launch`."""
    launcher = ["accelerate.commands.launch", how, "--num_processes", str(n), "--main_process_port", "0"]
    return _completed([sys.executable, "-m", *launcher, "-m", "babelscope", *arguments])


def _completed(words: list[str]) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300)
