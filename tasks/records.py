"""What a task is made of: small frozen records, no behaviour beyond looking things up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..display import Displayed


@dataclass(frozen=True)
class Example:
    """One item to be answered. Examples that share an `id` across languages are translations of one another."""

    id: str
    language: str
    split: str
    text: str  # the question's own words, without demonstrations and answer slot
    label: str  # canonical label, the same in every language
    fields: Mapping[str, str] = field(default_factory=dict)  # what `text` was rendered from: premise, hypothesis


@dataclass(frozen=True)
class Wording:
    """How a task is put to a model in one language."""

    template: str  # '{text}', or 'Premise: {premise}\nHypothesis: {hypothesis}'
    slot: str  # what follows the text and ends in the opening quote of the answer: '\nEmotion: "'
    label_words: Mapping[str, str]  # canonical label -> the word of this language
    demonstrations: tuple[Example, ...]  # in the order in which shots use them

    def render(self, fields: Mapping[str, str]) -> str:
        return self.template.format_map(fields)


@dataclass(frozen=True, repr=False)
class Pair(Displayed):
    """What training sees: a question, what is asked of it, and the output that is wanted.

    For question translation (arXiv 2405.13816) the output is the question in another language; it holds no answer.
    """

    id: str
    source: str
    target: str
    question: str
    instruction: str
    output: str


@dataclass(frozen=True, repr=False)
class Task(Displayed):
    """Examples to test on, questions to train on, and the words to ask with, by language."""

    name: str
    labels: tuple[str, ...]
    wordings: Mapping[str, Wording]
    examples: Mapping[str, tuple[Example, ...]]
    questions: Mapping[str, tuple[Example, ...]]  # training questions; parallel by id, disjoint from `examples`
    pairs: Mapping[tuple[str, str], tuple[Pair, ...]]  # translation pairs that come ready-made, by (source, target)

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self.examples)

    def summary(self) -> dict[str, object]:
        return {
            "name": self.name,
            "labels": self.labels,
            "languages": self.languages,
            "examples": _per_language(self.examples),
            "training questions": _per_language(self.questions),
            "ready-made pairs": [f"{source}-{target}" for source, target in self.pairs] or "none",
        }


def _per_language(examples: Mapping[str, tuple[Example, ...]]) -> str:
    counts = sorted({len(of_one) for of_one in examples.values()}) or [0]
    return f"{counts[0]} per language" if len(counts) == 1 else f"{counts[0]} to {counts[-1]} per language"


@dataclass(frozen=True, repr=False)
class Prompt(Displayed):
    """An example as the model reads it: `prefix + text + slot`, the text being `example.text`."""

    example: Example
    prefix: str  # translation pairs and demonstrations; the same for all prompts of a language
    slot: str

    @property
    def full(self) -> str:
        return self.prefix + self.example.text + self.slot

    def summary(self) -> dict[str, object]:
        example = self.example
        return {"language": example.language, "id": example.id, "label": example.label, "prompt": self.full}
