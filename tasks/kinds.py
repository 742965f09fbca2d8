"""The table of tasks: labels, fields, how the built-in sentences become items. A task is a row, never a branch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import nli, paraphrase, sentiment

Bank = Mapping[str, Any]
Item = tuple[str, Mapping[str, str], str]  # id, fields, label


@dataclass(frozen=True)
class Kind:
    """What all data of one task have in common."""

    labels: tuple[str, ...]  # of two, the one at index 1 is the positive class of AUC
    fields: tuple[str, ...]
    shots: int  # demonstrations in arXiv 2405.13816
    items: Callable[[Bank, str], Iterator[Item]]  # from the built-in bank and a split
    demonstrations: Callable[[Bank], Iterator[Item]]

    def template(self, words: Mapping[str, str]) -> str:
        """`{text}`, or one named line for each of several fields."""
        if len(self.fields) == 1:
            return f"{{{self.fields[0]}}}"
        return "\n".join(f"{words[name]}: {{{name}}}" for name in self.fields)


KINDS = {
    "sentiment": Kind(("negative", "positive"), ("text",), 2, sentiment.items, sentiment.demonstrations),
    "nli": Kind(
        ("contradiction", "neutral", "entailment"), ("premise", "hypothesis"), 6, nli.items, nli.demonstrations
    ),
    "paraphrase": Kind(
        ("different", "same"), ("sentence1", "sentence2"), 4, paraphrase.items, paraphrase.demonstrations
    ),
}
