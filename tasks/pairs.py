"""Training pairs: questions with their translations, and the controls that a translation is compared with."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..errors import DataError, UsageError
from .languages import language
from .records import Pair, Task

Direction = tuple[str, str]


def parse_direction(text: str) -> Direction:
    """`zh-en` -> ("zh", "en")."""
    parts = text.split("-")
    if len(parts) != 2:
        raise UsageError(f"Pair {text!r} is not of the form SOURCE-TARGET, such as zh-en.")
    source, target = (language(part).code for part in parts)
    if source == target:
        raise UsageError(f"Pair {text!r} translates a language into itself.")
    return source, target


def directions_of(texts: Sequence[str], objective: str = "translate") -> list[Direction]:
    """The directions of one training set: `zh-en`, or for the objective `answer` a language alone, `en`.

    Raises:
        UsageError: a text is no direction, a target is a source as well, or a language is unknown.
    """
    if objective == "answer":
        return [(language(text).code, text) for text in texts]
    directions = [parse_direction(text) for text in texts]
    both = {source for source, _ in directions} & {target for _, target in directions}
    if both:
        raise UsageError(f"pairs {' '.join(texts)}: the target {' '.join(sorted(both))} is among the sources.")
    return directions


def translation_instruction(source: str, target: str) -> str:
    return f"\nTranslate the input from {language(source).name} to {language(target).name}:\n"


def question_pairs(
    task: Task, directions: Sequence[Direction], number: int | None, seed: int, objective: str = "translate"
) -> list[Pair]:
    """`number` pairs for each direction, drawn without replacement; None takes all there are.

    Args:
        objective: one of OBJECTIVES. `translate`: a question ends in its answer slot and the slot stays empty, so
            training sees no label (arXiv 2405.13816). `copy`: the same questions of the source language, to be
            repeated. `shuffle`: each question with the translation of another one. `answer`: questions of the source
            language with their English label words.

    Raises:
        UsageError, DataError: no such objective, no pairs for a direction, or fewer than `number`.
    """
    if objective not in OBJECTIVES:
        raise UsageError(f"objective {objective!r} is unknown. Known: {', '.join(OBJECTIVES)}.")
    make = OBJECTIVES[objective]
    return [pair for way in directions for pair in _draw(make(task, *way), task.name, way, number, seed)]


def _draw(available: Sequence[Pair], name: str, direction: Direction, number: int | None, seed: int) -> list[Pair]:
    number = len(available) if number is None else number
    where = f"Task {name!r} has {len(available)} pairs for {'-'.join(direction)}"
    if not available:
        raise DataError(f"Task {name!r} has no training questions for {'-'.join(direction)}.")
    if not 1 <= number <= len(available):
        raise UsageError(f"{where}; {number} were asked for.")
    return random.Random(f"{seed} {direction}").sample(list(available), number)


def _translate(task: Task, source: str, target: str) -> Sequence[Pair]:
    """Ready-made pairs, or the task's questions joined by id."""
    if (source, target) in task.pairs:
        return task.pairs[source, target]
    translations = {question.id: question.text for question in task.questions.get(target, ())}
    return [
        replace(
            pair,
            instruction=translation_instruction(source, target),
            output=translations[pair.id] + task.wordings[target].slot,
        )
        for pair in _answer(task, source, target)
        if pair.id in translations
    ]


def _copy(task: Task, source: str, target: str) -> Sequence[Pair]:
    """The questions that `_translate` takes, and the same draw of them."""
    return [
        replace(pair, target=source, instruction="\nRepeat the input:\n", output=pair.question)
        for pair in _translate(task, source, target)
    ]


def _shuffle(task: Task, source: str, target: str) -> Sequence[Pair]:
    """The questions that `_translate` takes, and the same draw of them, each with the translation of another one."""
    pairs = list(_translate(task, source, target))
    order = random.Random(f"{source}-{target}").sample(range(len(pairs)), len(pairs))
    following = dict(zip(order, order[1:] + order[:1], strict=True))  # one circle: nothing stays in its place
    return [replace(pair, output=pairs[following[i]].output) for i, pair in enumerate(pairs)]


def _answer(task: Task, source: str, target: str) -> Sequence[Pair]:
    """The questions of the source language as they are asked, with their answers."""
    return [
        Pair(
            id=question.id,
            source=source,
            target=target,
            question=question.text + task.wordings[source].slot,
            instruction="",
            output=f'{question.label}"',
        )
        for question in task.questions.get(source, ())
    ]


OBJECTIVES: dict[str, Callable[[Task, str, str], Sequence[Pair]]] = {
    "translate": _translate,
    "copy": _copy,
    "shuffle": _shuffle,
    "answer": _answer,
}
