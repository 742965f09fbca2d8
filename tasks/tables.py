"""A task from rows of one's own: JSONL or CSV files, and whatever a dataset library yields.

One row is one example in one language:

    language    code of the language table, such as zh
    label       one of the task's labels
    text | premise, hypothesis | sentence1, sentence2      the task's fields
    id          optional; rows that share it are translations of one another. Without it: the row's number in its
                language and split, so that languages listed in the same order are parallel
    split       optional: test (if it is missing), train (questions to train on), demonstration

Words around the questions, label words and, where a file brings none, demonstrations are the built-in ones.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from ..errors import UsageError, did_you_mean
from .banks import built_in_wording
from .kinds import KINDS
from .languages import language, languages
from .records import Example, Task
from .rows import Faults, Row, check_text, read_rows

SPLITS = ("test", "train", "demonstration")
Table = dict[tuple[str, str], list[Example]]  # (language, split) -> examples


def read_table(name: str, path: Path, faults: Faults) -> Task:
    """Read one JSONL or CSV file."""
    rows = ((str(path), number, row) for number, row in read_rows(path, faults))
    return task_of_rows(name, str(path), rows, faults)


def task_of_rows(name: str, source: str, rows: Iterable[tuple[str, int, Row]], faults: Faults) -> Task:
    """Build a task of rows, each with its file and number there; faulty rows are left out and reported."""
    kind = KINDS[name]
    table: Table = defaultdict(list)
    seen: set[tuple[str, str, str]] = set()
    positions: Counter[tuple[str, str]] = Counter()
    for where, number, row in rows:
        split = str(row.get("split") or "test")
        place = (str(row.get("language")), split)
        positions[place] += 1  # counted for faulty rows too: one bad row must not shift what is parallel
        if not _sound(name, where, number, row, split, faults):
            continue
        given = row.get("id")
        example_id = f"{positions[place]:06d}" if given in (None, "") else str(given)
        if (key := (*place, example_id)) in seen:
            faults.add(where, number, "id", f"{example_id!r} stands twice for {place[0]!r} in {split}")
            continue
        seen.add(key)
        fields = {field: row[field] for field in kind.fields}
        text = built_in_wording(name, place[0]).render(fields)
        table[place].append(Example(example_id, place[0], split, text, row["label"], fields))
        faults.good += 1
    return _task(name, source, table, faults)


def _sound(name: str, where: str, number: int, row: Row, split: str, faults: Faults) -> bool:
    kind = KINDS[name]
    before = len(faults.found)
    check_text(where, number, row, ("language", "label", *kind.fields), faults)
    if split not in SPLITS:
        faults.add(where, number, "split", f"{split!r} is none of {', '.join(SPLITS)}")
    if isinstance(code := row.get("language"), str) and code.strip() and code not in languages():
        faults.add(where, number, "language", _unknown_language(code))
    if isinstance(label := row.get("label"), str) and label.strip() and label not in kind.labels:
        hint = did_you_mean(label.casefold(), kind.labels)
        faults.add(where, number, "label", f"{label!r} is none of {', '.join(kind.labels)}.{hint}")
    return len(faults.found) == before


def _unknown_language(code: str) -> str:
    try:
        language(code)
    except UsageError as error:
        return f"is wrong: {error}"
    raise AssertionError(code)


def _task(name: str, where: str, table: Table, faults: Faults) -> Task:
    tested = [code for code in languages() if table.get((code, "test"))]
    if not tested and not faults.found:
        faults.add(where, 0, "split", "is nowhere `test`: there is nothing to test on")
    wordings = {}
    for code in languages():
        wording = built_in_wording(name, code)
        own = tuple(table.get((code, "demonstration"), ()))
        wordings[code] = replace(wording, demonstrations=own) if own else wording
    return Task(
        name=name,
        labels=KINDS[name].labels,
        wordings=wordings,
        examples={code: tuple(table[code, "test"]) for code in tested},
        questions={code: tuple(table[code, "train"]) for code in languages() if table.get((code, "train"))},
        pairs={},
    )
