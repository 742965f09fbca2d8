"""What `babelscope explain` prints."""

from collections.abc import Mapping, Sequence

from ..explaining.answers import Answer, paragraphs
from .levels import speaks
from .tables import screen_width

WIDEST = 100


def print_answers(by_condition: Mapping[str, Sequence[Answer]]) -> None:
    """Questions, answers and the figures behind them, in paragraphs."""
    if speaks():
        print(paragraphs(by_condition, min(WIDEST, screen_width() or WIDEST)))
