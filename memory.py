"""When memory runs out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from .errors import NoMemoryError

Result = TypeVar("Result")
SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "alloc_failed")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory; torch has a type of its own for some of them only."""
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(sign in str(error).lower() for sign in SIGNS)
    )


def halving(run: Callable[[int], Result], budget: int, least: int, what: str) -> Result:
    """`run(budget)`, again with half of it where there is no memory, down to below `least`.

    Raises:
        NoMemoryError: there is none for `what` either.
    """
    while True:
        try:
            return run(budget)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            if budget < least:
                raise _none_for(what) from error
        budget //= 2


@contextmanager
def memory_for(what: str) -> Iterator[None]:
    """Work that cannot be done in smaller parts.

    Raises:
        NoMemoryError: there is no memory for `what`.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        raise _none_for(what) from error


def _none_for(what: str) -> NoMemoryError:
    return NoMemoryError(f"There is no memory for {what}. Use shorter texts, fewer shots, a smaller model or bfloat16.")
