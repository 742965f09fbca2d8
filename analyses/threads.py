"""Independent pieces of work, one core each: torch and NumPy let go of the interpreter while they compute.

One thread each for the libraries below them, too: NumPy and SciPy bring an OpenBLAS each, whose idle threads spin for a
while, and take the cores from one another where calls to both alternate.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from ..progress import Progress

Piece = TypeVar("Piece")
Result = TypeVar("Result")
MOST = 8  # at once; each piece has its own memory


def workers() -> int:
    return min(torch.get_num_threads(), MOST)


def in_threads(work: Callable[[Piece], Result], pieces: Sequence[Piece], on_progress: Progress) -> list[Result]:
    """`work` of each piece, in their order. An error ends what has not begun."""
    threads, results = torch.get_num_threads(), []
    on_progress(0, len(pieces))
    pool = ThreadPoolExecutor(workers(), initializer=partial(torch.set_num_threads, 1))
    try:
        with threadpool_limits(1, "blas"):
            for done, result in enumerate(pool.map(work, pieces)):
                results.append(result)
                on_progress(done + 1, len(pieces))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
    return results
