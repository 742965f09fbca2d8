"""From a task to what a model reads: few-shot prompts."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ..errors import UsageError
from .languages import language
from .records import Example, Pair, Prompt, Task, Wording

# What stands for "no content" when a model's preference for a label is measured (Zhao et al. 2021, arXiv 2102.09690;
# their third one, the empty text, has no tokens of its own).
CONTENT_FREE = ("N/A", "[MASK]")

SOURCES = ("written", "training")


@dataclass(frozen=True)
class Asking:
    """How the examples of a task are put to a model; every field is a setting of arXiv 2405.13816 or a control."""

    shots: int = 2  # demonstrations before each question
    words: str | tuple[str, ...] = "english"  # answers: english, own (language), or one word per label of the task
    instruction: str = "own"  # language of the words around a question: own, or a code
    demonstrations: str = "written"  # where they come from: written for this, or labelled training questions
    demonstrations_in: str = "own"  # language of the demonstrations: own, or a code
    demonstration_seed: int | None = None  # None: the first ones, in order
    context: tuple[Pair, ...] = ()  # pairs to read before the demonstrations, in place of training on them


def few_shot_prompts(task: Task, code: str, asking: Asking | None = None, limit: int | None = None) -> list[Prompt]:
    """The prompts of one language.

    Raises:
        UsageError: more shots than demonstrations, a limit below 1, or words, sources or languages that do not exist.
    """
    asking = asking or Asking()
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1 example per language; it is {limit}.")
    wording = wording_of(task, code, asking)
    prefix = _prefix(task, code, asking)
    return [
        Prompt(_rendered(example, wording, asking), prefix, wording.slot) for example in task.examples[code][:limit]
    ]


def content_free_prompts(task: Task, code: str, asking: Asking) -> list[Prompt]:
    """The same prompts with nothing in place of the question: they show which answer a model prefers anyway."""
    wording = wording_of(task, code, asking)
    fields = task.examples[code][0].fields
    return [
        Prompt(Example(filler, code, "content-free", wording.render(dict.fromkeys(fields, filler)), ""), prefix, slot)
        for prefix, slot in [(_prefix(task, code, asking), wording.slot)]
        for filler in CONTENT_FREE
    ]


def answer_words(task: Task, code: str, words: str | Sequence[str]) -> dict[str, str]:
    """The word that stands for each label when `code` is asked about.

    Raises:
        UsageError: not one different word for each label.
    """
    if words == "english":
        return {label: label for label in task.labels}
    if words == "own":
        return {label: task.wordings[code].label_words[label] for label in task.labels}
    if isinstance(words, str) or len(words) != len(task.labels):
        raise UsageError(
            f"words must be english, own, or a list of {len(task.labels)} words for {', '.join(task.labels)} in this "
            f"order; it is {words!r}."
        )
    if len({word.strip() for word in words} - {""}) < len(words):
        raise UsageError(f"words {list(words)} are not {len(words)} different words; answers could not be told apart.")
    return dict(zip(task.labels, words, strict=True))


def check_prefixes(words: Mapping[str, str], where: str) -> None:
    """Under the paper's rule a word that begins another one can never lose to it."""
    for label, one in words.items():
        for another, other in words.items():
            if label != another and other.casefold().startswith(one.casefold()):
                raise UsageError(
                    f"{where}: with `scoring: paper`, no answer word may begin another one, but {one!r} begins "
                    f"{other!r}. Choose other words, or `scoring: full`."
                )


def wording_of(task: Task, code: str, asking: Asking) -> Wording:
    """The words around a question: of its own language, or of the one that instructs."""
    spoken = code if asking.instruction == "own" else language(asking.instruction).code
    if spoken not in task.wordings:
        raise UsageError(f"Task {task.name!r} has no wording in {spoken!r} to instruct in.")
    return task.wordings[spoken]


def _rendered(example: Example, wording: Wording, asking: Asking) -> Example:
    return example if asking.instruction == "own" else replace(example, text=wording.render(example.fields))


def _prefix(task: Task, code: str, asking: Asking) -> str:
    shown_in = code if asking.demonstrations_in == "own" else language(asking.demonstrations_in).code
    wording = wording_of(task, shown_in, asking)
    words = answer_words(task, code, asking.words)
    shown = [
        f'{_rendered(example, wording, asking).text}{wording.slot}{words[example.label]}"\n\n'
        for example in _demonstrations(task, shown_in, asking)
    ]
    read = [f"{pair.question}{pair.instruction}{pair.output}\n\n" for pair in asking.context]
    return "".join([*read, *shown])


def _demonstrations(task: Task, code: str, asking: Asking) -> Sequence[Example]:
    if asking.demonstrations not in SOURCES:
        raise UsageError(f"demonstrations {asking.demonstrations!r} is none of {', '.join(SOURCES)}.")
    if code not in task.wordings:
        raise UsageError(f"Task {task.name!r} has no demonstrations in {code!r}.")
    written = asking.demonstrations == "written"
    pool = task.wordings[code].demonstrations if written else task.questions.get(code, ())
    if not 0 <= asking.shots <= len(pool):
        raise UsageError(
            f"Task {task.name!r} has {len(pool)} {asking.demonstrations} demonstrations in {code!r}; {asking.shots} "
            "shots were asked for."
        )
    if written and asking.demonstration_seed is None:
        return pool[: asking.shots]
    return _drawn(pool, task.labels, asking.shots, asking.demonstration_seed or 0)


def _drawn(pool: Sequence[Example], labels: Sequence[str], shots: int, seed: int) -> list[Example]:
    """A random choice with the labels in turn; the same ids in every language that has the same pool."""
    rng = random.Random(seed)
    by_label = {label: sorted((e for e in pool if e.label == label), key=lambda e: e.id) for label in labels}
    queues = {label: rng.sample(group, len(group)) for label, group in by_label.items()}
    order = rng.sample(labels, len(labels))
    chosen: list[Example] = []
    while len(chosen) < shots:
        for label in order:
            if queues[label] and len(chosen) < shots:
                chosen.append(queues[label].pop())
    return chosen
