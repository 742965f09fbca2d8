"""Tasks: what is asked, in which words, in twenty languages. Text lives in `data/`, never in code."""

from pathlib import Path

from ..errors import UsageError
from .authors import authors_task
from .languages import language, languages, select_languages
from .prompts import few_shot_prompts, parse_direction, question_pairs, translation_instruction
from .records import Example, Pair, Prompt, Task, Wording
from .sentiment import sentiment

BUILT_IN = {"sentiment": sentiment}


def load_task(name: str, data: Path | None = None) -> Task:
    """A built-in task, or with `data` the same task read from the authors' layout (see `authors.py`)."""
    if data is not None:
        return authors_task(name, Path(data))
    if name not in BUILT_IN:
        raise UsageError(
            f"Unknown task {name!r}. Built in: {', '.join(BUILT_IN)}. Files of your own are read with --data FOLDER."
        )
    return BUILT_IN[name]()


__all__ = [
    "BUILT_IN",
    "Example",
    "Pair",
    "Prompt",
    "Task",
    "Wording",
    "few_shot_prompts",
    "language",
    "languages",
    "load_task",
    "parse_direction",
    "question_pairs",
    "select_languages",
    "translation_instruction",
]
