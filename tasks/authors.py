"""The layout in which the authors of arXiv 2405.13816 released their data.

    ap_emotion/emotion_{lang}500_test.json          [{"input", "answer"}]
    snli/snli_{lang}600_test.json                   [{"premise", "hypothesis", "answer"}]
    paws/paws_{lang}500_test.json                   [{"sentence1", "sentence2", "answer"}]
    snli/snli_{lang}10k_train_question.json         [{"input", "answer"}], question-translation pairs into English;
                                                    the same beside the other tasks' test files

Test files are parallel by row and answer in their own language (paraphrase: in English everywhere), so the English file
says which label a row has. The first rows of each label serve as demonstrations and are not tested on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import UsageError
from .banks import built_in_wording
from .kinds import KINDS
from .languages import languages
from .pairs import translation_instruction
from .records import Example, Pair, Task, Wording
from .rows import Faults, Row, check_text, read_rows

SHOTS_PER_LABEL = 2


@dataclass(frozen=True)
class Layout:
    """Where the files of a task are, and what its fields are called there."""

    tests: str  # {lang} stands for the code
    pairs: str
    columns: Mapping[str, str] = field(default_factory=dict)  # our field -> theirs, where the names differ


LAYOUTS = {
    "sentiment": Layout(
        "ap_emotion/emotion_{lang}500_test.json",
        "ap_emotion/emotion_{lang}10k_train_question.json",
        {"text": "input"},
    ),
    "nli": Layout("snli/snli_{lang}600_test.json", "snli/snli_{lang}10k_train_question.json"),
    "paraphrase": Layout("paws/paws_{lang}500_test.json", "paws/paws_{lang}10k_train_question.json"),
}


def read_authors(name: str, folder: Path, faults: Faults) -> Task:
    """Read one task from `folder`, the folder that holds `ap_emotion/`, `snli/` and `paws/`.

    Raises:
        UsageError: the folder, or the task's English file, is not there.
    """
    layout, kind = LAYOUTS[name], KINDS[name]
    tests = {code: path for code in languages() if (path := folder / layout.tests.format(lang=code)).is_file()}
    if "en" not in tests:
        raise UsageError(
            f"{folder / layout.tests.format(lang='en')} does not exist. Expected the authors' release with "
            f"{Path(layout.tests).parent}/ inside; the English file says which label a row has."
        )
    columns = [layout.columns.get(field, field) for field in kind.fields]
    rows = {code: _tests(path, columns, faults) for code, path in tests.items()}
    truth = _truth(tests["en"], rows["en"], kind.labels, faults)
    for code, path in tests.items():
        if faults.found:
            break  # rows that were left out would make others look wrong
        _check_parallel(path, rows[code], truth, faults)
    faults.good += sum(map(len, rows.values()))
    shown = _demonstration_rows(truth, kind.labels)
    wordings, examples = {}, {}
    for code, table in rows.items():
        wording = built_in_wording(name, code)
        items = _examples(code, table, truth, dict(zip(kind.fields, columns, strict=True)), wording)
        wordings[code] = replace(
            wording,
            label_words={**wording.label_words, **_label_words(table, truth)},
            demonstrations=tuple(items[number] for number in shown if number < len(items)),
        )
        examples[code] = tuple(item for number, item in enumerate(items) if number not in shown)
    pairs = {
        (code, "en"): found
        for code in languages()
        if (found := _pairs(folder / layout.pairs.format(lang=code), code, faults))
    }
    return Task(name, kind.labels, wordings, examples, {}, pairs)


def _tests(path: Path, columns: Sequence[str], faults: Faults) -> list[Row]:
    return [
        row for number, row in read_rows(path, faults) if check_text(path, number, row, (*columns, "answer"), faults)
    ]


def _truth(path: Path, rows: Sequence[Row], labels: Sequence[str], faults: Faults) -> list[str]:
    truth = [row["answer"] for row in rows]
    for number, answer in enumerate(truth, start=1):
        if answer not in labels:
            faults.add(path, number, "answer", f"{answer!r} is none of {', '.join(labels)}")
    for label in labels:
        if truth.count(label) <= SHOTS_PER_LABEL:
            faults.add(
                path,
                0,
                "answer",
                f"is {label!r} in {truth.count(label)} rows; more than {SHOTS_PER_LABEL} are needed, since the first "
                "ones serve as demonstrations",
            )
    return truth


def _check_parallel(path: Path, rows: Sequence[Row], truth: Sequence[str], faults: Faults) -> None:
    if len(rows) != len(truth):
        faults.add(path, 0, "", f"has {len(rows)} rows, but the English file has {len(truth)}; they must be parallel")
        return
    words: dict[str, str] = {}
    for number, (row, label) in enumerate(zip(rows, truth, strict=True), start=1):
        if words.setdefault(label, row["answer"]) != row["answer"]:
            faults.add(
                path,
                number,
                "answer",
                f"is {row['answer']!r}, but the English row says {label!r}, which this file calls {words[label]!r} "
                "elsewhere",
            )


def _label_words(rows: Sequence[Row], truth: Sequence[str]) -> dict[str, str]:
    return {label: row["answer"] for row, label in zip(rows, truth, strict=False)}


def _examples(
    code: str, rows: Sequence[Row], truth: Sequence[str], columns: Mapping[str, str], wording: Wording
) -> list[Example]:
    examples = []
    for number, (row, label) in enumerate(zip(rows, truth, strict=False)):
        fields = {field: row[column] for field, column in columns.items()}
        examples.append(Example(f"{number:05d}", code, "test", wording.render(fields), label, fields))
    return examples


def _demonstration_rows(truth: Sequence[str], labels: Sequence[str]) -> list[int]:
    """The first rows of each label, labels in turn, the last label first."""
    by_label = [
        [i for i, answer in enumerate(truth) if answer == label][:SHOTS_PER_LABEL] for label in reversed(labels)
    ]
    return [row for turn in zip(*by_label, strict=False) for row in turn]


def _pairs(path: Path, code: str, faults: Faults) -> tuple[Pair, ...]:
    if not path.is_file():
        return ()
    instruction = translation_instruction(code, "en")
    pairs = []
    for number, row in read_rows(path, faults):
        if not check_text(path, number, row, ("input", "answer"), faults):
            continue
        if not row["input"].endswith(instruction):
            faults.add(path, number, "input", f"does not end in {instruction.strip()!r}")
            continue
        question = row["input"].removesuffix(instruction)
        pairs.append(Pair(f"{number - 1:05d}", code, "en", question, instruction, row["answer"]))
    faults.good += len(pairs)
    return tuple(pairs)
