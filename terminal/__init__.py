"""What a person or a machine sees of a command: tables, JSON, progress, the next step."""

from .answers import print_answers
from .bars import events, progress
from .consent import confirm_size
from .hints import hint
from .levels import choose_level
from .tables import readable, show, total
from .watch import as_records, watch

__all__ = [
    "as_records",
    "choose_level",
    "confirm_size",
    "events",
    "hint",
    "print_answers",
    "progress",
    "readable",
    "show",
    "total",
    "watch",
]
