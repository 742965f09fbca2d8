"""Real processes are killed at random moments; whatever they leave, the next run finishes, to the same bytes."""

import os
import random
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
from babelscope.activations.store import Cache
from babelscope.activations.verify import verify
from jobs import (
    BUSY,
    Job,
    capture_job,
    ended,
    merge_job,
    parts_job,
    result,
    run,
    start,
    telling,
    training_job,
    undisturbed,
    upgrade_job,
)
from version_one import version_one

KILLS = 26  # of capture, and as many of every other job

Build = Callable[[str], Path]


@pytest.fixture(scope="module")
def inputs(
    processes: ForkServerContext, tiny_folder: Build, tmp_path_factory: pytest.TempPathFactory
) -> dict[Job, Path]:
    """What each job reads."""
    model, folder = tiny_folder("llama"), tmp_path_factory.mktemp("inputs")
    for job in (parts_job, capture_job):
        assert run(processes, job, model, folder) == 0
    version_one(folder / "base.h5", folder / "old.h5")
    return {capture_job: model, training_job: model, merge_job: folder, upgrade_job: folder / "old.h5"}


@pytest.mark.parametrize(
    "job", [capture_job, training_job, *(pytest.param(job, marks=pytest.mark.slow) for job in (merge_job, upgrade_job))]
)
def test_killed_at_random_moments_it_resumes_to_the_same_bytes(
    processes: ForkServerContext, inputs: dict[Job, Path], tmp_path: Path, job: Job
) -> None:
    whole = undisturbed(processes, job, inputs[job], tmp_path)
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
            code := run(processes, job, inputs[job], out, (rng.uniform(0, whole) * (1 + in_this / 4), signal.SIGKILL))
        ) != 0:
            assert code == -signal.SIGKILL
            in_this += 1
            if (out / "base.h5").exists():
                assert verify(out / "base.h5") == []
        kills += in_this
        assert result(out) == wanted, f"after {in_this} kills"
    assert outputs > 1


@pytest.mark.parametrize(
    ("job", "lock", "final"),
    [
        (capture_job, "base.h5.shards/.lock", "base.h5"),
        (training_job, ".adapter.training/.lock", "adapter"),
        (merge_job, "base.h5.shards/.lock", "base.h5"),
        (upgrade_job, "base.h5.shards/.lock", "base.h5"),
    ],
)
def test_a_second_process_on_one_output_is_refused_and_does_no_harm(
    processes: ForkServerContext, inputs: dict[Job, Path], tmp_path: Path, job: Job, lock: str, final: str
) -> None:
    out = tmp_path / "out"
    first = start(processes, job, inputs[job], out)
    assert first.pid is not None
    try:
        while first.is_alive() and not ((out / lock).is_file() and (out / lock).read_text() == str(first.pid)):
            time.sleep(0.0005)
        os.kill(first.pid, signal.SIGSTOP)  # asleep in the middle of its work
        assert not (out / final).exists()
        assert run(processes, partial(telling, job), inputs[job], out) == BUSY
    finally:
        os.kill(first.pid, signal.SIGCONT)
    assert ended(first) == [0]
    assert run(processes, job, inputs[job], tmp_path / "alone") == 0
    assert result(out) == result(tmp_path / "alone")


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
