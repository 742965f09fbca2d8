"""Seconds of ways that are compared, and the peak memory of one way in a process of its own."""

import contextlib
import ctypes
import gc
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def interleaved(ways: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round. A round runs A, B, C in turn, so that a busy machine slows all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for done in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
            say(f"  {name}, round {done + 1} of {rounds}: {seconds[name][-1]:.2f} s")
    return seconds


def speed_ratios(other: list[float], ours: list[float]) -> list[float]:
    """How many times faster ours is, round by round."""
    return [theirs / own for theirs, own in zip(other, ours, strict=True)]


def apart(function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
    """`function(...)` in a fresh process: what earlier cases allocated, compiled or warmed up does not count."""
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def peak_increase(work: Callable[[], object]) -> float:
    """MB by which the process's peak resident memory, while `work` runs, exceeds what is resident before."""
    _forget_peak()
    before = _peak()
    work()
    return _peak() - before


def peak(work: Callable[[], object]) -> float:
    """MB of the process's peak resident memory while `work` runs, with what was resident before."""
    _forget_peak()
    work()
    return _peak()


def _peak() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _forget_peak() -> None:
    """Let Linux count the peak anew: neither a peak while the model was opened, nor memory that was freed since but
    not handed back, may hide what comes. Elsewhere this does nothing, and the increase is a lower bound."""
    switch = Path("/proc/self/clear_refs")
    if not os.access(switch, os.W_OK):
        return
    gc.collect()
    with contextlib.suppress(AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
    switch.write_text("5")


def say(line: str) -> None:
    """Progress goes to stderr; stdout is the table's."""
    print(line, file=sys.stderr, flush=True)
