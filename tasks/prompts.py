"""From a task to what a model reads: few-shot prompts, and question-translation pairs."""

import random
from collections.abc import Sequence

from ..errors import DataError, UsageError
from .languages import language
from .records import Pair, Prompt, Task


def few_shot_prompts(task: Task, code: str, shots: int, limit: int | None = None) -> list[Prompt]:
    """The prompts of one language: `shots` demonstrations in that language, answers in English words."""
    wording = task.wordings[code]
    if not 0 <= shots <= len(wording.demonstrations):
        raise UsageError(
            f"Task {task.name!r} has {len(wording.demonstrations)} demonstrations in {code!r}; "
            f"{shots} shots were asked for."
        )
    if limit is not None and limit < 1:
        raise UsageError(f"limit must be at least 1 example per language; it is {limit}.")
    prefix = "".join(f'{text}{wording.slot}{label}"\n\n' for text, label in wording.demonstrations[:shots])
    return [Prompt(example, prefix, wording.slot) for example in task.examples[code][:limit]]


def parse_direction(text: str) -> tuple[str, str]:
    """`zh-en` -> ("zh", "en")."""
    parts = text.split("-")
    if len(parts) != 2:
        raise UsageError(f"Pair {text!r} is not of the form SOURCE-TARGET, such as zh-en.")
    source, target = (language(part).code for part in parts)
    if source == target:
        raise UsageError(f"Pair {text!r} translates a language into itself.")
    return source, target


def question_pairs(task: Task, directions: Sequence[tuple[str, str]], number: int, seed: int) -> list[Pair]:
    """`number` question-translation pairs for each direction, drawn without replacement.

    A question ends in its answer slot and the slot stays empty: training sees no label (arXiv 2405.13816).
    """
    return [pair for direction in directions for pair in _draw(task, direction, number, seed)]


def translation_instruction(source: str, target: str) -> str:
    return f"\nTranslate the input from {language(source).name} to {language(target).name}:\n"


def _draw(task: Task, direction: tuple[str, str], number: int, seed: int) -> list[Pair]:
    available = task.pairs.get(direction) or _compose(task, *direction)
    if not available:
        raise DataError(f"Task {task.name!r} has no training questions for {'-'.join(direction)}.")
    if not 1 <= number <= len(available):
        raise UsageError(
            f"Task {task.name!r} has {len(available)} pairs for {'-'.join(direction)}; {number} were asked for."
        )
    return random.Random(f"{seed} {direction}").sample(list(available), number)


def _compose(task: Task, source: str, target: str) -> list[Pair]:
    translations = {question.id: question.text for question in task.questions.get(target, ())}
    return [
        Pair(
            id=question.id,
            source=source,
            target=target,
            question=question.text + task.wordings[source].slot,
            translation=translations[question.id] + task.wordings[target].slot,
        )
        for question in task.questions.get(source, ())
        if question.id in translations
    ]
