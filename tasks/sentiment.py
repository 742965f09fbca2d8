"""The built-in sentiment task: reviews composed of sentences that stand alone.

`data/sentiment/LANGUAGE.toml` holds, for each split and domain, settings, judgements and verdicts. A review is one of
each, with judgement and verdict of the same polarity, so it needs no grammar across sentences and has the same id in
every language. Train and test share no sentence. Many judgements are hedged ("slow at first, but ..."): a list of
positive and negative words cannot solve the task.
"""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any

from .languages import languages
from .records import Example, Task, Wording

LABELS = ("negative", "positive")  # index 1 is the positive class of AUC

Bank = Mapping[str, Any]


@cache
def sentiment() -> Task:
    banks = {code: _read(code) for code in languages()}
    return Task(
        name="sentiment",
        labels=LABELS,
        wordings={code: _wording(bank) for code, bank in banks.items()},
        examples={code: tuple(_reviews(bank, "test")) for code, bank in banks.items()},
        questions={code: tuple(_reviews(bank, "train")) for code, bank in banks.items()},
        pairs={},
    )


def _read(code: str) -> Bank:
    return tomllib.loads((files(__package__) / "data" / "sentiment" / f"{code}.toml").read_text(encoding="utf-8"))


def _wording(bank: Bank) -> Wording:
    shots = bank["demonstrations"]
    return Wording(
        slot=f'\n{bank["instruction"]}: "',
        label_words=bank["labels"],
        demonstrations=tuple((shots[label][key], label) for key in shots["positive"] for label in reversed(LABELS)),
    )


def _reviews(bank: Bank, split: str) -> Iterator[Example]:
    """All reviews of a split, ordered so that every prefix is balanced.

    The order walks over (setting, verdict), then judgement, then domain, then label: neighbours differ in label,
    and no judgement is used twice before each has been used once.
    """
    domains = bank[split]
    first = next(iter(domains.values()))
    settings, judgements, verdicts = (
        list(first["setting"]),
        list(first["judgement"]["positive"]),
        list(first["verdict"]["positive"]),
    )
    joiner = "" if languages()[bank["language"]].script == "CJK" else " "
    # Shifting setting and verdict along with the judgement spreads them evenly over any prefix.
    frames = list(product(settings, verdicts))
    for turn, (position, judgement) in product(range(len(frames)), enumerate(judgements)):
        for number, (domain, parts) in enumerate(domains.items()):
            setting, verdict = frames[(turn + position + number) % len(frames)]
            for label in reversed(LABELS):
                sentences = (
                    parts["setting"][setting],
                    parts["judgement"][label][judgement],
                    parts["verdict"][label][verdict],
                )
                yield Example(
                    id=f"{domain}-{label}-{setting}{judgement}{verdict}",
                    language=bank["language"],
                    split=split,
                    text=joiner.join(sentences),
                    label=label,
                )
