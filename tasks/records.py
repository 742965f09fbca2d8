"""What a task is made of: small frozen records, no behaviour beyond looking things up."""

from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True)
class Pair:
    """What training sees: a question, what is asked of it, and the output that is wanted.

    For question translation (arXiv 2405.13816) the output is the question in another language; it holds no answer.
    """

    id: str
    source: str
    target: str
    question: str
    instruction: str
    output: str


@dataclass(frozen=True)
class Task:
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


@dataclass(frozen=True)
class Prompt:
    """An example as the model reads it: `prefix + text + slot`, the text being `example.text`."""

    example: Example
    prefix: str  # translation pairs and demonstrations; the same for all prompts of a language
    slot: str

    @property
    def full(self) -> str:
        return self.prefix + self.example.text + self.slot
