"""The built-in text: sentences in `data/TASK/LANGUAGE.toml`, composed to items that have the same id everywhere."""

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from .kinds import KINDS, Item
from .languages import languages
from .records import Example, Task, Wording


@cache
def built_in(name: str) -> Task:
    """A built-in task in every language of the table."""
    kind = KINDS[name]
    banks = {code: read_bank(name, code) for code in languages()}
    wordings = {code: built_in_wording(name, code) for code in banks}
    return Task(
        name=name,
        labels=kind.labels,
        wordings=wordings,
        examples={c: examples(kind.items(bank, "test"), c, "test", wordings[c]) for c, bank in banks.items()},
        questions={c: examples(kind.items(bank, "train"), c, "train", wordings[c]) for c, bank in banks.items()},
        pairs={},
    )


@cache
def built_in_wording(name: str, code: str) -> Wording:
    """The words around a question, its label words and the written demonstrations."""
    kind, bank = KINDS[name], read_bank(name, code)
    plain = Wording(
        template=kind.template(bank["words"]),
        slot=f'\n{bank["words"]["answer"]}: "',
        label_words=bank["labels"],
        demonstrations=(),
    )
    shown = examples(kind.demonstrations(bank), code, "demonstration", plain)
    return Wording(plain.template, plain.slot, plain.label_words, shown)


def examples(items: Iterable[Item], code: str, split: str, wording: Wording) -> tuple[Example, ...]:
    return tuple(Example(i, code, split, wording.render(fields), label, fields) for i, fields, label in items)


@cache
def read_bank(name: str, code: str) -> Mapping[str, Any]:
    bank = tomllib.loads((files(__package__) / "data" / name / f"{code}.toml").read_text(encoding="utf-8"))
    return bank | {"joiner": "" if languages()[code].script == "CJK" else " "}  # between whole sentences
