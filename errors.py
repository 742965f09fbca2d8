"""Errors that a user can mend: each message says what, where, what was expected and the remedy."""

from collections.abc import Iterable


class BabelscopeError(Exception):
    """Base of every error that babelscope raises on purpose. The CLI prints it without a traceback."""


class UsageError(BabelscopeError):
    """A setting, option or study file asks for something impossible (CLI exit code 2)."""


class DataError(BabelscopeError):
    """Text, tables or arrays that were given are malformed or do not belong together."""


class ModelError(BabelscopeError):
    """A model, tokenizer or adapter cannot be opened, or does not fit its partner."""


class CacheError(BabelscopeError):
    """A cache of activations is missing, unfinished, damaged or made from other inputs."""


class TrainingError(BabelscopeError):
    """Training cannot go on; what was good until then has been kept."""


class NoMemoryError(BabelscopeError):
    """There is no memory for the smallest piece of work."""


class BusyError(BabelscopeError):
    """Another process writes to the same place."""


class LostRankError(BabelscopeError):
    """The processes of one run cannot reach each other any more."""


class StudyError(BabelscopeError):
    """A study's folder is in use, or holds results of other settings."""


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest of the known names; nothing where none is near."""
    import difflib

    near = difflib.get_close_matches(wrong, list(known), 1)
    return f" Did you mean {near[0]!r}?" if near else ""
