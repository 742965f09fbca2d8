"""The layout in which the authors of arXiv 2405.13816 released their data.

    ap_emotion/emotion_{lang}500_test.json          [{"input", "answer"}]
    snli/snli_{lang}600_test.json                   [{"premise", "hypothesis", "answer"}]
    snli/snli_{lang}10k_train_question.json         [{"input", "answer"}], question-translation pairs into English

Test files are parallel by row and answer in their own language, so the English file says which label a row has.
The first rows of each label serve as demonstrations and are not tested on.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import DataError, UsageError
from .languages import language, languages
from .records import Example, Pair, Task, Wording
from .sentiment import sentiment

SHOTS_PER_LABEL = 2


@dataclass(frozen=True)
class Layout:
    """Where the files of a task are, and how a row becomes a question in one language."""

    labels: tuple[str, ...]
    folder: str
    test_file: str  # {lang} stands for the code
    fields: tuple[str, ...]
    render: Callable[[str, Mapping[str, str]], str]
    slot: Callable[[str], str]


@cache
def _nli_words(code: str) -> dict[str, str]:
    words: dict[str, str] = tomllib.loads((files(__package__) / "data" / "nli.toml").read_text(encoding="utf-8"))[code]
    return words


def _nli_text(code: str, row: Mapping[str, str]) -> str:
    words = _nli_words(code)
    return f"{words['premise']}: {row['premise']}\n{words['hypothesis']}: {row['hypothesis']}"


LAYOUTS = {
    "sentiment": Layout(
        labels=("negative", "positive"),
        folder="ap_emotion",
        test_file="emotion_{lang}500_test.json",
        fields=("input",),
        render=lambda code, row: row["input"],
        slot=lambda code: sentiment().wordings[code].slot,
    ),
    "nli": Layout(
        labels=("contradiction", "neutral", "entailment"),
        folder="snli",
        test_file="snli_{lang}600_test.json",
        fields=("premise", "hypothesis"),
        render=_nli_text,
        slot=lambda code: f'\n{_nli_words(code)["answer"]}: "',
    ),
}
QUESTION_FILE = "{folder}_{lang}10k_train_question.json"


@cache  # a study asks for it again and again
def authors_task(name: str, data: Path) -> Task:
    """Read one task from `data`, the folder that holds `ap_emotion/` and `snli/`.

    Raises:
        UsageError: the folder, the task or its English file is not there.
        DataError: a row is malformed; file, row and field are named.
    """
    if name not in LAYOUTS:
        raise UsageError(f"No layout is known for task {name!r} in {data}. Known: {', '.join(LAYOUTS)}.")
    layout = LAYOUTS[name]
    folder = data / layout.folder
    tests = {code: path for code in languages() if (path := folder / layout.test_file.format(lang=code)).is_file()}
    if "en" not in tests:
        raise UsageError(
            f"{folder / layout.test_file.format(lang='en')} does not exist. Expected the authors' release with "
            f"{layout.folder}/ inside; the English file says which label a row has."
        )
    rows = {code: read_rows(path, (*layout.fields, "answer")) for code, path in tests.items()}
    truth = [row["answer"] for row in rows["en"]]
    for number, answer in enumerate(truth):
        if answer not in layout.labels:
            raise DataError(f"{tests['en']}: row {number}: answer {answer!r} is none of {', '.join(layout.labels)}.")
    for code, path in tests.items():
        if len(rows[code]) != len(truth):
            raise DataError(
                f"{path}: {len(rows[code])} rows, but the English file has {len(truth)}; they must be parallel by row."
            )
    for label in layout.labels:
        if truth.count(label) <= SHOTS_PER_LABEL:
            raise DataError(
                f"{tests['en']}: {truth.count(label)} rows are {label!r}; more than {SHOTS_PER_LABEL} are needed, "
                "since the first ones serve as demonstrations."
            )
    shown = _demonstration_rows(truth, layout.labels)
    return Task(
        name=name,
        labels=layout.labels,
        wordings={
            code: Wording(
                slot=layout.slot(code),
                label_words=_label_words(tests[code], table, truth),
                demonstrations=tuple((layout.render(code, table[number]), truth[number]) for number in shown),
            )
            for code, table in rows.items()
        },
        examples={
            code: tuple(
                Example(f"{number:05d}", code, "test", layout.render(code, row), truth[number])
                for number, row in enumerate(table)
                if number not in shown
            )
            for code, table in rows.items()
        },
        questions={},
        pairs={(code, "en"): pairs for code in languages() if (pairs := _question_file(folder, code))},
    )


def read_rows(path: Path, fields: tuple[str, ...]) -> list[dict[str, str]]:
    """A JSON list of objects with non-empty text in `fields`; every fault names file, row and field."""
    try:
        table: Any = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: byte {error.start} is not UTF-8. Save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        complete = error.doc[: error.pos].count("}")
        raise DataError(
            f"{path}: not valid JSON at line {error.lineno}, near row {complete}: {error.msg}. Is the file truncated?"
        ) from error
    if not isinstance(table, list) or not table:
        raise DataError(f"{path}: expected a JSON list with at least one row, found {type(table).__name__}.")
    for number, row in enumerate(table):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number}: expected an object with {', '.join(fields)}, found {row!r:.60}.")
        for field in fields:
            if not isinstance(row.get(field), str):
                raise DataError(f"{path}: row {number}: field {field!r} is missing or not text.")
            if not row[field].strip():
                raise DataError(f"{path}: row {number}: field {field!r} is empty.")
    return table


def _demonstration_rows(truth: list[str], labels: tuple[str, ...]) -> list[int]:
    """The first rows of each label, alternating labels, the last label first (as the built-in task does)."""
    by_label = [
        [i for i, answer in enumerate(truth) if answer == label][:SHOTS_PER_LABEL] for label in reversed(labels)
    ]
    return [row for turn in zip(*by_label, strict=True) for row in turn]


def _label_words(path: Path, table: list[dict[str, str]], truth: list[str]) -> dict[str, str]:
    words: dict[str, str] = {}
    for number, (row, label) in enumerate(zip(table, truth, strict=True)):
        if words.setdefault(label, row["answer"]) != row["answer"]:
            raise DataError(
                f"{path}: row {number}: answer {row['answer']!r}, but the English row says {label!r}, "
                f"which this file calls {words[label]!r} elsewhere."
            )
    return words


def _question_file(folder: Path, code: str) -> tuple[Pair, ...]:
    path = folder / QUESTION_FILE.format(folder=folder.name, lang=code)
    if not path.is_file():
        return ()
    ending = f"\nTranslate the input from {language(code).name} to English:\n"
    pairs = []
    for number, row in enumerate(read_rows(path, ("input", "answer"))):
        if not row["input"].endswith(ending):
            raise DataError(f"{path}: row {number}: field 'input' does not end in {ending.strip()!r}.")
        pairs.append(Pair(f"{number:05d}", code, "en", row["input"].removesuffix(ending), row["answer"]))
    return tuple(pairs)
