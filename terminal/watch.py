"""A running study, as one picture or until it ends."""

import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..progress import duration
from ..study.journal import COMPLETE, StageStanding, Standing, standing
from .bars import figures
from .tables import WIDE, screen_width

if TYPE_CHECKING:
    from rich.console import Console, Group

EVERY = 1.0  # seconds
AROUND = 8  # lines of the terminal that are not stages
STYLES = {"running": "bold", "finished": "green", "skipped": "green", "to do": "dim"}
MARKS = {"running": "▶", "finished": "✓", "skipped": "✓", "to do": "·"}


def watch(folder: Path, once: bool) -> Standing:
    """Show the study in `folder`: once, and where stdout is no terminal; else until it ends or Ctrl-C is pressed.

    Raises:
        StudyError: see `journal.standing`.
    """
    from rich.console import Console

    console, now = Console(width=screen_width() or WIDE), standing(folder)
    if not once and screen_width() and not console.is_dumb_terminal:
        now = _follow(folder, console)
    console.print(picture(folder, now, len(now.stages)))
    return now


def _follow(folder: Path, console: "Console") -> Standing:
    from rich.live import Live

    now = standing(folder)
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False, transient=True) as live:
        while now.state == "running":
            live.update(picture(folder, now, max(3, console.height - AROUND)), refresh=True)
            time.sleep(EVERY)
            now = standing(folder)
    return now


def as_records(now: Standing) -> dict[str, object]:
    """For machines: what is known of the run, and how long it has been silent."""
    known = {key: value for key, value in asdict(now).items() if key != "stages"}
    return known | {"silent_seconds": round(_silent(now), 1)}


def picture(folder: Path, now: Standing, most: int) -> "Group":
    """Heading, a line a stage (at most `most` of them, around the running one), and what is left out."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    shown = _around(now.stages, most)
    for stage in shown:
        done = f"{stage.done:,}/{stage.total:,} {stage.unit}" if stage.total else ""
        row = (MARKS.get(stage.state, "?"), stage.name, done, _told(stage, now))
        table.add_row(*(Text(text, style=STYLES.get(stage.state, "")) for text in row))
    complete = sum(stage.state in COMPLETE for stage in now.stages)
    counted = f"{complete} of {len(now.stages)} stages complete"
    left_out = len(now.stages) - len(shown)
    return Group(
        Text(f"{folder}: {now.state}, {counted}", style="bold"),
        *([Text(now.reason)] if now.reason else []),
        table,
        *([Text(f"{left_out} more stages", style="dim")] if left_out else []),
        Text(_heard(now), style="dim"),
    )


def _around(stages: tuple[StageStanding, ...], most: int) -> tuple[StageStanding, ...]:
    """At most so many stages, with two thirds of them before the one that runs."""
    running = next((n for n, stage in enumerate(stages) if stage.state in ("running", "to do")), len(stages))
    first = max(0, min(running - most * 2 // 3, len(stages) - most))
    return stages[first : first + most]


def _told(stage: StageStanding, now: Standing) -> str:
    if stage.state == "running":
        silent = _silent(now) if now.state == "running" else 0.0
        return figures(stage.seconds + silent, stage.left, stage.rate, stage.token_rate, stage.unit)
    if stage.state == "finished":
        return duration(stage.seconds)
    if stage.state == "skipped":
        return f"complete before{f', {duration(stage.seconds)}' if stage.seconds else ''}"
    return ""


def _heard(now: Standing) -> str:
    ago = f"{duration(_silent(now))} ago"
    begun = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now.began))
    return f"process {now.process} on {now.host}, began {begun}, last sign of life {ago}"


def _silent(now: Standing) -> float:
    return max(0.0, time.time() - now.told)
