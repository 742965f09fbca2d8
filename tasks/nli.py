"""Natural language inference: a premise, and a hypothesis that follows from it, may be true, or cannot be.

`data/nli/LANGUAGE.toml` holds whole items for the test, each premise with one hypothesis of every label. A training
premise is composed: a scene and a detail of one domain, two sentences that stand alone and do not touch each other's
hypotheses. Train and test share no sentence.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

LABELS = ("entailment", "contradiction", "neutral")  # in the order in which a premise takes them

Items = Iterator[tuple[str, dict[str, str], str]]


def demonstrations(bank: Mapping[str, Any]) -> Items:
    yield from _whole(bank["demonstrations"])


def items(bank: Mapping[str, Any], split: str) -> Items:
    """All items of a split; a prefix of the test is balanced over labels."""
    return _whole(bank["test"]) if split == "test" else _composed(bank["train"], bank["joiner"])


def _whole(premises: Mapping[str, Mapping[str, str]]) -> Items:
    """One hypothesis of each premise at a time: a short prefix has many premises."""
    for turn in range(len(LABELS)):
        for number, (name, sentences) in enumerate(premises.items()):
            label = LABELS[(turn + number) % len(LABELS)]
            yield f"{name}-{label}", {"premise": sentences["premise"], "hypothesis": sentences[label]}, label


def _composed(domains: Mapping[str, Any], joiner: str) -> Items:
    for domain, parts in domains.items():
        for scene, detail in product(parts["scene"], parts["detail"]):
            both = {"scene": parts["scene"][scene], "detail": parts["detail"][detail]}
            premise = joiner.join(part["premise"] for part in both.values())
            for (about, sentences), label in product(both.items(), LABELS):
                yield (
                    f"{domain}-{scene}{detail}-{about}-{label}",
                    {"premise": premise, "hypothesis": sentences[label]},
                    label,
                )
