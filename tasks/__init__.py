"""Tasks: what is asked, in which words, in twenty languages. Text lives in `data/`, never in code."""

from .datasets import ready_maps
from .kinds import KINDS
from .languages import language, languages, select_languages
from .loading import Reading, load_task, read_task
from .pairs import OBJECTIVES, Direction, directions_of, parse_direction, question_pairs, translation_instruction
from .prompts import Asking, answer_words, check_prefixes, content_free_prompts, few_shot_prompts
from .records import Example, Pair, Prompt, Task, Wording
from .words import WordSet, load_words, word_prompt

__all__ = [
    "KINDS",
    "OBJECTIVES",
    "Asking",
    "Direction",
    "Example",
    "Pair",
    "Prompt",
    "Reading",
    "Task",
    "WordSet",
    "Wording",
    "answer_words",
    "check_prefixes",
    "content_free_prompts",
    "directions_of",
    "few_shot_prompts",
    "language",
    "languages",
    "load_task",
    "load_words",
    "parse_direction",
    "question_pairs",
    "read_task",
    "ready_maps",
    "select_languages",
    "translation_instruction",
    "word_prompt",
]
