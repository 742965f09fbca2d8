"""What a person or a machine sees of a command: tables, JSON, progress."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def _silent() -> bool:
    """Of several processes under torchrun, the first one speaks."""
    return os.environ.get("RANK", "0") != "0"


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal; when piped, a plain line at every tenth."""
    if _silent():
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    if not sys.stderr.isatty():
        yield _plain_progress(what)
        return
    from rich.console import Console

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _plain_progress(what: str) -> Callable[[int, int], None]:
    shown = -1

    def report(done: int, total: int) -> None:
        nonlocal shown
        if done * 10 // max(total, 1) > shown:
            shown = done * 10 // max(total, 1)
            print(f"{what}: {done}/{total}", file=sys.stderr, flush=True)

    return report


@contextmanager
def events() -> Iterator[Callable[[Any], None]]:
    """Print a study's events, with one progress display per stage."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        report: Callable[[int, int], None] = lambda done, total: None  # noqa: E731

        def on_event(event: Any) -> None:
            nonlocal report
            if event.state == "started":
                report = stack.enter_context(progress(event.stage))
            elif event.state == "progress":
                report(event.done, event.total)
            else:
                stack.close()
                if _silent():
                    return
                took = f" in {event.seconds:.0f} s" if event.state == "finished" else ": complete already"
                print(f"{event.stage}{took}", file=sys.stderr, flush=True)

        yield on_event


def show(rows: "list[dict[str, Any]] | pd.DataFrame", as_json: bool, extra: dict[str, Any] | None = None) -> None:
    """Print rows as a table, or everything as one JSON object."""
    if _silent():
        return
    records: list[Any] = rows if isinstance(rows, list) else rows.to_dict("records")
    if as_json:
        print(json.dumps({"rows": _json_safe(records), **(extra or {})}, ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in records[0] if records else ():
        table.add_column(str(column), overflow="fold")
    for record in records:
        table.add_row(*(f"{v:.4g}" if isinstance(v, float) else str(v) for v in record.values()))
    # Piped output is for grep and awk: wide enough never to fold a row.
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    for name, lines in (extra or {}).items():
        print(f"{name}:" if lines else f"{name}: none", *lines, sep="\n  ")


def print_answers(by_condition: dict[str, list[dict[str, Any]]]) -> None:
    """Questions, answers and the figures behind them, in paragraphs."""
    if _silent():
        return
    from textwrap import fill

    if not by_condition:
        print("Nothing stands beside the base.")
    for condition, answers in by_condition.items():
        print(f"{condition}\n")
        for one in answers:
            print(one["question"])
            print(fill(one["answer"], 100, initial_indent="  ", subsequent_indent="  "))
            for figure in one["figures"]:
                print(fill(figure, 100, initial_indent="  - ", subsequent_indent="    "))
            print()


def _json_safe(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """JSON has no NaN: an undefined number is null."""
    return [{k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in records]


def readable(stage: dict[str, Any]) -> dict[str, Any]:
    """A planned stage with bytes in GB and a dash for what it does not need."""
    sizes = {f"{key} [GB]": f"{stage[key] / 1e9:.2f}" if stage[key] else "-" for key in ("disk", "memory")}
    counts = {key: f"{stage[key]:,}" if stage[key] else "-" for key in ("prompts", "tokens")}
    return {"stage": stage["name"], "state": stage["state"], **counts, **sizes, "note": stage["note"]}


def total(stages: list[dict[str, Any]]) -> list[str]:
    todo = [stage for stage in stages if stage["state"] != "complete"]
    prompts, tokens, disk = (sum(stage[key] for stage in todo) for key in ("prompts", "tokens", "disk"))
    memory = max((stage["memory"] for stage in todo), default=0)
    return [
        f"{prompts:,} prompts and pairs, {tokens:,} tokens, {disk / 1e9:.2f} GB of disk, "
        f"{memory / 1e9:.1f} GB of memory at the height"
    ]
