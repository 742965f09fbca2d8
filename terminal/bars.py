"""Progress of long steps: a bar on a terminal, sparse plain lines elsewhere, nothing when quiet."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ..progress import Meter, Progress, duration, silent, speed
from .levels import is_quiet

if TYPE_CHECKING:
    from ..study.journal import Event

DENSE, SPARSE = 1.0, 600.0  # seconds between two plain lines: at least, and at most if there is anything to tell


@contextmanager
def progress(what: str, unit: str = "parts") -> Iterator[Progress]:
    """Show how far a step is while it runs, and what it took when it ends without an error."""
    if is_quiet():
        yield silent
        return
    meter = Meter()
    if sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown"):
        with _bar(what, unit, meter) as report:
            yield report
    else:
        yield _lines(what, unit, meter)
    counted = f": {meter.done:,}/{meter.total:,} {unit} in" if meter.total else ":"
    fast = speed(meter.rate, meter.token_rate, unit)
    print(f"{what}{counted} {duration(meter.elapsed)}{fast and f', {fast}'}", file=sys.stderr, flush=True)


def figures(elapsed: float, left: float | None, rate: float | None, token_rate: float | None, unit: str) -> str:
    """Time so far, time to go, speed; what is not known is left out."""
    to_go = f"{duration(left)} left" if left else ""
    return ", ".join(filter(None, [duration(elapsed), to_go, speed(rate, token_rate, unit)]))


@contextmanager
def _bar(what: str, unit: str, meter: Meter) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Figures(ProgressColumn):
        def render(self, task: Task) -> Text:
            counted = f"{meter.done:,}/{meter.total:,} " if meter.total else ""
            return Text(counted + figures(meter.elapsed, meter.left, meter.rate, meter.token_rate, unit))

    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, max_width=30)),
        BarColumn(bar_width=None, table_column=Column(min_width=6, ratio=1)),
        Figures(table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int, tokens: int = 0) -> None:
            meter(done, total, tokens)
            bar.update(task, completed=done, total=total)

        yield report


def _lines(what: str, unit: str, meter: Meter) -> Progress:
    shown, last = -1, 0.0

    def report(done: int, total: int, tokens: int = 0) -> None:
        nonlocal shown, last
        if done < meter.done:  # another step
            shown = -1
        meter(done, total, tokens)
        tenth = done * 10 // max(total, 1)
        quiet_for = meter.elapsed - last
        if done < total and (shown < 0 or (tenth > shown and quiet_for > DENSE) or quiet_for > SPARSE):
            shown, last = tenth, meter.elapsed
            so_far = figures(last, meter.left, meter.rate, meter.token_rate, unit)
            print(f"{what}: {done:,}/{total:,} {unit}, {so_far}", file=sys.stderr, flush=True)

    return report


@contextmanager
def events() -> Iterator[Callable[["Event"], None]]:
    """Print a study's events, with one progress display per stage."""
    with ExitStack() as stack:
        report: Progress = silent

        def on_event(event: "Event") -> None:
            nonlocal report
            if event.state == "started":
                report = stack.enter_context(progress(event.stage, event.unit))
            elif event.state == "progress":
                report(event.done, event.total, event.tokens)
            elif event.state == "finished":
                stack.close()
            elif not is_quiet():
                print(f"{event.stage}: complete already", file=sys.stderr, flush=True)

        yield on_event
