"""How records show themselves: one line of text, and in notebooks a table of what people want to know."""

from collections.abc import Mapping
from dataclasses import fields
from html import escape
from typing import Any

LONGEST = 300  # characters of a value


class Displayed:
    """A record whose `summary` is what it shows. Dataclasses that inherit it are made with `repr=False`."""

    def summary(self) -> Mapping[str, object]:
        """Name -> value; of a dataclass, its fields."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={_brief(value, 80)!s}" for name, value in self.summary().items())
        return f"{type(self).__name__}({told})"

    def _repr_html_(self) -> str:
        return as_html(type(self).__name__, self.summary())


def as_html(title: str, rows: Mapping[str, object]) -> str:
    """A table of two columns; all text is escaped."""
    lines = "".join(
        f'<tr><th style="text-align:left; vertical-align:top">{escape(str(name))}</th>'
        f'<td style="text-align:left; white-space:pre-wrap">{escape(_brief(value, LONGEST))}</td></tr>'
        for name, value in rows.items()
    )
    return f'<table><caption style="text-align:left">{escape(title)}</caption>{lines}</table>'


def _brief(value: Any, longest: int) -> str:
    if isinstance(value, tuple | list):
        text = " ".join(map(str, value))
    else:
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
