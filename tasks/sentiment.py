"""Sentiment: reviews composed of sentences that stand alone.

`data/sentiment/LANGUAGE.toml` holds, for each split and domain, settings, judgements and verdicts. A review is one of
each, with judgement and verdict of the same polarity, so it needs no grammar across sentences and has the same id in
every language. Train and test share no sentence. Many judgements are hedged ("slow at first, but ..."): a list of
positive and negative words cannot solve the task.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

LABELS = ("positive", "negative")  # in the order in which a round of reviews takes them


def demonstrations(bank: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str], str]]:
    shots = bank["demonstrations"]
    for key in shots["positive"]:
        for label in LABELS:
            yield f"demonstration-{label}-{key}", {"text": shots[label][key]}, label


def items(bank: Mapping[str, Any], split: str) -> Iterator[tuple[str, dict[str, str], str]]:
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
    # Shifting setting and verdict along with the judgement spreads them evenly over any prefix.
    frames = list(product(settings, verdicts))
    for turn, (position, judgement) in product(range(len(frames)), enumerate(judgements)):
        for number, (domain, parts) in enumerate(domains.items()):
            setting, verdict = frames[(turn + position + number) % len(frames)]
            for label in LABELS:
                sentences = (
                    parts["setting"][setting],
                    parts["judgement"][label][judgement],
                    parts["verdict"][label][verdict],
                )
                yield f"{domain}-{label}-{setting}{judgement}{verdict}", {"text": bank["joiner"].join(sentences)}, label
