"""The questions about a run, and the answers of each condition."""

from collections.abc import Callable

import pandas as pd

from .alignment import alignment_moved
from .answers import Answer
from .causes import change_carried
from .changes import answers_changed, languages_lost
from .control import translation_or_tuning
from .limits import limits
from .run import Run, Said, Tables

QUESTIONS: dict[str, Callable[[Run], Said]] = {
    "Did answers change, by discrimination or by calibration?": answers_changed,
    "Which languages lost?": languages_lost,
    "Is it the translation, or any tuning?": translation_or_tuning,
    "In which layers did alignment move?": alignment_moved,
    "What carries the change, causally?": change_carried,
    "What cannot be concluded?": limits,
}


def explain(tables: Tables) -> dict[str, list[Answer]]:
    """Answers to `QUESTIONS` about each condition, from the tables of a study or of `babelscope probe`."""
    named = [table["condition"] for name, table in tables.items() if "condition" in table and "grid" not in name]
    conditions = dict.fromkeys(name for column in named for name in pd.unique(column) if name != "base")
    return {condition: _answered(Run(tables, condition)) for condition in conditions}


def _answered(run: Run) -> list[Answer]:
    said = ((question, answer(run)) for question, answer in QUESTIONS.items())
    return [Answer(question, text, tuple(figures)) for question, (text, figures) in said]
