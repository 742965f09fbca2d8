"""Of several processes one fails, or all are killed: nobody waits for the dead, and the next run finishes."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from babelscope.activations import cache
from babelscope.files import alone
from babelscope.training import loop
from jobs import (
    BUSY,
    LOST,
    Job,
    capture_job,
    command,
    ended,
    launch,
    result,
    start_ranks,
    telling,
    training_job,
)

KILLS = 6

Build = Callable[[str], Path]


def broken(job: Job, how: str, model: str, out: str) -> None:
    """A job that fails in the middle of its work."""
    calls = 0

    def failing(work: Callable[..., object], *arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 4:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("broken on purpose")
        return work(*arguments)

    for module, name in ((cache, "capture_shard"), (loop, "_accumulate")):
        setattr(module, name, partial(failing, getattr(module, name)))
    job(model, out)


def both(context: ForkServerContext, job: Job, model: Path, out: Path) -> None:
    assert ended(*start_ranks(context, (job, job), model, out)) == [0, 0]


@pytest.fixture(scope="module")
def whole(
    processes: ForkServerContext, tiny_folder: Build, tmp_path_factory: pytest.TempPathFactory
) -> dict[Job, dict[str, bytes]]:
    """What two ranks leave that nobody disturbs."""
    folders = {job: tmp_path_factory.mktemp("whole") for job in (capture_job, training_job)}
    for job, folder in folders.items():
        both(processes, job, tiny_folder("llama"), folder)
    return {job: result(folder) for job, folder in folders.items()}


@pytest.mark.parametrize("how", ["raising", "killed"])
@pytest.mark.parametrize("job", [capture_job, training_job])
def test_when_one_rank_fails_the_other_ends_and_the_next_run_finishes(
    processes: ForkServerContext,
    tiny_folder: Build,
    whole: dict[Job, dict[str, bytes]],
    tmp_path: Path,
    job: Job,
    how: str,
) -> None:
    """Without a launcher that ends the others: the lost connection does."""
    model = tiny_folder("llama")
    jobs = (partial(telling, job), partial(broken, job, how))
    survivor, lost = ended(*start_ranks(processes, jobs, model, tmp_path))
    assert lost == (-signal.SIGKILL if how == "killed" else 1)
    assert survivor == LOST
    assert result(tmp_path) != whole[job]
    both(processes, job, model, tmp_path)
    assert result(tmp_path) == whole[job]


@pytest.mark.slow
@pytest.mark.parametrize("job", [capture_job, training_job])
def test_two_ranks_killed_at_random_moments_resume_to_the_same_bytes(
    processes: ForkServerContext, tiny_folder: Build, whole: dict[Job, dict[str, bytes]], tmp_path: Path, job: Job
) -> None:
    model, rng = tiny_folder("llama"), random.Random(0)
    started = time.perf_counter()
    both(processes, job, model, tmp_path / "measured")
    seconds = time.perf_counter() - started
    for kill in range(KILLS):
        ranks = start_ranks(processes, (job, job), model, tmp_path / "killed")
        time.sleep(rng.uniform(0.2, 0.8) * seconds / (1 + kill / KILLS))
        for process in ranks:
            process.kill()
        ended(*ranks)
    both(processes, job, model, tmp_path / "killed")
    assert result(tmp_path / "killed") == whole[job]


def test_ranks_on_a_busy_output_are_refused(processes: ForkServerContext, tiny_folder: Build, tmp_path: Path) -> None:
    job = partial(telling, capture_job)
    with alone(tmp_path / "base.h5.shards" / ".lock"):
        first, second = ended(*start_ranks(processes, (job, job), tiny_folder("llama"), tmp_path))
    assert (first, second) == (BUSY, LOST)
    assert result(tmp_path) == {}


@pytest.mark.slow
def test_a_rank_that_fails_under_torchrun_is_heard_and_the_next_run_finishes(
    tiny_folder: Build, tmp_path: Path
) -> None:
    options = ["--languages", "en,zh,sw", "--limit", "6", "--dtype", "float32", "--device", "cpu"]
    arguments = ["cache", "--model", str(tiny_folder("llama")), *options, "--out"]
    out = tmp_path / "base.h5"
    in_the_way = tmp_path / "base.h5.shards" / "00001.h5"  # the second rank's first shard
    in_the_way.mkdir(parents=True)
    failed = launch(2, *arguments, str(out))
    assert failed.returncode != 0
    assert f"{in_the_way} cannot be written" in failed.stderr
    assert not out.exists()
    in_the_way.rmdir()
    assert launch(2, *arguments, str(out)).returncode == 0
    assert launch(1, *arguments, str(tmp_path / "one" / "base.h5")).returncode == 0
    shards = result(tmp_path / "base.h5.shards")
    assert len(shards) == 3
    assert shards == result(tmp_path / "one" / "base.h5.shards")


@pytest.mark.slow
def test_training_resumes_after_torchrun_and_its_ranks_are_killed(tiny_folder: Build, tmp_path: Path) -> None:
    options = ["--pairs", "de-en", "--number", "240", "--dtype", "float32", "--device", "cpu"]
    arguments = ["train", "--model", str(tiny_folder("llama")), *options, "--out"]
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    with subprocess.Popen(command(2, *arguments, str(killed)), stderr=subprocess.DEVNULL) as launcher:
        while not list(tmp_path.glob(".killed.training/*/*")):  # until there is something to go on from
            assert launcher.poll() is None
            time.sleep(0.01)
        # Ranks have sessions of their own: no signal to a group reaches all.
        for pid in (
            launcher.pid,
            *map(int, Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text().split()),
        ):
            os.kill(pid, signal.SIGKILL)
    assert not killed.exists()
    for out in (killed, undisturbed):
        done = launch(2, *arguments, str(out))
        assert done.returncode == 0, done.stderr[-3000:]
    assert result(killed) == result(undisturbed)
