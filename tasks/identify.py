"""Which language a text is in, out of those of the table."""

from functools import cache
from typing import Any

from .languages import languages


def identify(text: str) -> str:
    """Code of the language of the table that a text is most likely in; empty for a text without letters.

    Languages that the identifier takes for one of the table count as that one. Short texts are told apart less surely.
    """
    if not any(char.isalpha() for char in text):
        return ""
    code, _ = _identifier().classify(text)
    return _ours()[code]


@cache
def _ours() -> dict[str, str]:
    """Identifier's code -> ours."""
    near = {other: row.code for row in languages().values() for other in row.confused_with}
    return near | {code: code for code in languages()}


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    known = set(identifier.labels)
    identifier.set_languages([code for code in _ours() if code in known])
    return identifier
