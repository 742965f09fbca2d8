"""A task by its name, from the built-in text or from data of one's own."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import UsageError, did_you_mean
from .authors import read_authors
from .banks import built_in
from .datasets import read_dataset, ready_maps
from .kinds import KINDS
from .records import Task
from .rows import Fault, Faults
from .tables import read_table

Reader = Callable[[str, Path, Faults], Task]
READERS: dict[str, Reader] = {".jsonl": read_table, ".csv": read_table, ".toml": read_dataset}


@dataclass(frozen=True)
class Reading:
    """A task as far as it could be read, what is wrong with its rows, and how many are good."""

    task: Task
    faults: tuple[Fault, ...]
    good: int


def load_task(name: str, data: Path | str | None = None) -> Task:
    """A built-in task, or with `data` the same task from elsewhere.

    Args:
        data: a folder in the authors' layout (`authors.py`), a JSONL or CSV file (`tables.py`), or the name or the
            path of a dataset map (`datasets.py`).

    Raises:
        UsageError: an unknown task, or nothing readable at `data`.
        DataError: rows that are wrong; the first ones are named.
    """
    if data is None:
        return built_in(_known(name))
    reading, faults = _fresh(name, str(data))
    faults.raise_any(f"`babelscope tasks check {data} --task {name}` lists them all.")
    return reading


def read_task(name: str, data: Path | str) -> Reading:
    """Read `data` and gather every fault instead of stopping at the first."""
    task, faults = _fresh(name, str(data))
    return Reading(task, tuple(faults.found), faults.good)


def _fresh(name: str, data: str) -> tuple[Task, Faults]:
    path = Path(data)
    return _read(name, data, path.stat().st_mtime_ns if path.exists() else 0)


@cache  # a study asks for it again and again
def _read(name: str, data: str, written: int) -> tuple[Task, Faults]:
    path = ready_maps().get(data, Path(data))
    reader = read_authors if path.is_dir() else READERS.get(path.suffix)
    if reader is None or not path.exists():
        hint = did_you_mean(data, ready_maps())
        raise UsageError(
            f"data {data!r} is no folder in the authors' layout, no .jsonl or .csv file, and no dataset map (.toml, or "
            f"one of {', '.join(ready_maps())}).{hint}"
        )
    faults = Faults()
    return reader(_known(name), path, faults), faults


def _known(name: str) -> str:
    if name in KINDS:
        return name
    hint = did_you_mean(name, KINDS)
    raise UsageError(f"Unknown task {name!r}.{hint} Known: {', '.join(KINDS)}. Data of your own is read with --data.")
