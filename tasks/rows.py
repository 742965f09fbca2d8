"""Rows of a file, the good ones and what is wrong with the others: one fault names file, row, field and reason."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError

Row = Mapping[str, Any]
HALF = re.compile("[\ud800-\udfff]")  # JSON can write it as \\ud800; UTF-8 cannot


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with a file. `row` counts from 1 as an editor does; 0 is the file as a whole."""

    file: str
    row: int
    field: str
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}: row {self.row}" if self.row else self.file
        return f"{where}: field {self.field!r} {self.reason}" if self.field else f"{where}: {self.reason}"


@dataclass
class Faults:
    """Gathers faults while files are read, and counts the rows that have none."""

    found: list[Fault] = field(default_factory=list)
    good: int = 0

    def add(self, file: Path | str, row: int, name: str, reason: str) -> None:
        self.found.append(Fault(str(file), row, name, reason))

    def raise_any(self, remedy: str) -> None:
        """One error that names the first faults.

        Raises:
            DataError: something was found.
        """
        if self.found:
            shown = "\n".join(f"  {fault}" for fault in self.found[:3])
            more = f"\n  and {len(self.found) - 3} more" if len(self.found) > 3 else ""
            raise DataError(f"{len(self.found)} fault(s), {self.good} good rows:\n{shown}{more}\n{remedy}")


def read_rows(path: Path, faults: Faults) -> list[tuple[int, Row]]:
    """The rows of a JSON list, a JSONL or a CSV file with their numbers; what cannot be read is a fault."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        faults.add(path, 0, "", f"byte {error.start} is not UTF-8. Save the file as UTF-8")
        return []
    except OSError as error:
        faults.add(path, 0, "", f"cannot be read: {error.strerror}")
        return []
    rows = [
        (number, row)
        for number, row in READERS[path.suffix](path, text, faults)
        if _is_object(path, number, row, faults)
    ]
    if not rows and not faults.found:
        faults.add(path, 0, "", "holds no rows")
    return rows


def check_text(path: Path | str, number: int, row: Row, fields: Iterable[str], faults: Faults) -> bool:
    """Whether `fields` of a row are all non-empty text."""
    before = len(faults.found)
    for name in fields:
        if row.get(name) is None:
            faults.add(path, number, name, "is missing")
        elif not isinstance(row[name], str):
            faults.add(path, number, name, f"is not text: {row[name]!r:.40}")
        elif not row[name].strip():
            faults.add(path, number, name, "is empty")
        elif HALF.search(row[name]):
            faults.add(path, number, name, "holds half of a character (a lone surrogate). Save the file as UTF-8")
    return len(faults.found) == before


def _is_object(path: Path, number: int, row: Any, faults: Faults) -> bool:
    if not isinstance(row, dict):
        faults.add(path, number, "", f"expected an object with named fields, found {row!r:.40}")
        return False
    return True


def _json(path: Path, text: str, faults: Faults) -> Iterator[tuple[int, Any]]:
    try:
        table = json.loads(text)
    except json.JSONDecodeError as error:
        complete = error.doc[: error.pos].count("}")
        faults.add(
            path, complete + 1, "", f"not valid JSON at line {error.lineno}: {error.msg}. Is the file truncated?"
        )
        return
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; lists in lists in lists
        faults.add(path, 0, "", f"not valid JSON: {error}")
        return
    if not isinstance(table, list):
        faults.add(path, 0, "", f"expected a JSON list of objects, found {type(table).__name__}")
        return
    yield from enumerate(table, start=1)


def _jsonl(path: Path, text: str, faults: Faults) -> Iterator[tuple[int, Any]]:
    # Not splitlines(): a line separator of Unicode may stand inside a text.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                faults.add(path, number, "", f"not valid JSON: {error.msg} at column {error.colno}")
            except (ValueError, RecursionError) as error:
                faults.add(path, number, "", f"not valid JSON: {error}")


def _csv(path: Path, text: str, faults: Faults) -> Iterator[tuple[int, Any]]:
    # Not splitlines(): a line separator of Unicode may stand inside a text.
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if None in row:
                faults.add(path, reader.line_num, "", "has more cells than the header; quote texts that hold a comma")
            else:
                yield reader.line_num, row
    except csv.Error as error:
        faults.add(path, reader.line_num, "", f"not valid CSV: {error}")


READERS: dict[str, Callable[[Path, str, Faults], Iterator[tuple[int, Any]]]] = {
    ".json": _json,
    ".jsonl": _jsonl,
    ".csv": _csv,
}
