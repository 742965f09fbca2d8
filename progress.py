"""How far a long step is: the callback that it tells, and what can be known from what it told."""

import time
from collections.abc import Callable
from typing import Protocol, runtime_checkable

SECONDS_TO_KNOW = 0.05  # a rate over less time is noise


@runtime_checkable
class Progress(Protocol):
    """What a long step calls: units done, units in all, and tokens that went through the model for it so far.

    The first call comes before the first unit: what is done by then (nothing, or the work of an earlier run) counts
    for no rate.
    """

    def __call__(self, done: int, total: int, tokens: int = 0, /) -> None: ...


def silent(done: int, total: int, tokens: int = 0) -> None:
    """For steps whose progress nobody wants to know."""


class Together:
    """One step of `total` units, told by its parts: each counts its own units and tokens from nothing."""

    def __init__(self, on_progress: Progress, total: int) -> None:
        self._on_progress, self._total = on_progress, total
        self._done = self._tokens = 0
        on_progress(0, total, 0)

    def __call__(self, done: int, total: int, tokens: int = 0) -> None:
        """A part's own progress; with `done == total` it is over, and the next one begins."""
        self._on_progress(self._done + done, self._total, self._tokens + tokens)
        if done == total:
            self._done += done
            self._tokens += tokens


class Steps:
    """Counts the units that are done, and tells how many there are."""

    def __init__(self, on_progress: Progress, total: int) -> None:
        self.on_progress, self.done, self.total = on_progress, 0, total
        on_progress(0, total)

    def __call__(self) -> None:
        self.done += 1
        self.on_progress(self.done, self.total)


class Unfinished:
    """Passes on what a step tells, but its last unit only when `finish` is called: when what comes of it is there too,
    such as figures."""

    def __init__(self, on_progress: Progress) -> None:
        self._on_progress = on_progress
        self._told: tuple[int, int] | None = None  # units in all, and tokens

    def __call__(self, done: int, total: int, tokens: int = 0) -> None:
        self._told = (total, tokens)
        self._on_progress(min(done, max(total - 1, 0)), total, tokens)

    def finish(self) -> None:
        if self._told is not None:
            total, tokens = self._told
            self._on_progress(total, total, tokens)


class Meter:
    """A callback that keeps what it was told last, and knows times in seconds and rates per second.

    Fewer units than before are those of another step: rates and the time left are then its own.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._opened = clock()
        self._first: tuple[float, int, int] | None = None  # when, units and tokens
        self._last = self._opened
        self.done = self.total = self.tokens = 0

    def __call__(self, done: int, total: int, tokens: int = 0) -> None:
        if self._first is None or done < self.done:
            self._first = (self._clock(), done, tokens)
        self._last, self.done, self.total, self.tokens = self._clock(), done, total, tokens

    @property
    def elapsed(self) -> float:
        return self._clock() - self._opened

    @property
    def rate(self) -> float | None:
        """Units per second since the step's first call; None while it is not known."""
        return self._since_first(self.done, 1)

    @property
    def token_rate(self) -> float | None:
        return self._since_first(self.tokens, 2)

    @property
    def left(self) -> float | None:
        """Seconds, if it goes on as it went."""
        rate = self.rate
        return None if rate is None else (self.total - self.done) / rate

    def _since_first(self, now: int, field: int) -> float | None:
        if self._first is None:
            return None
        seconds, change = self._last - self._first[0], now - self._first[field]
        return change / seconds if seconds > SECONDS_TO_KNOW and change > 0 else None


def duration(seconds: float) -> str:
    """As people say it: 0.4 s, 45 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def speed(rate: float | None, token_rate: float | None, unit: str) -> str:
    """Tokens per second where tokens are counted, else units; nothing while neither is known."""
    if token_rate is not None:
        return f"{token_rate:,.0f} tokens/s"
    return "" if rate is None else f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.2g} {unit}/s"
