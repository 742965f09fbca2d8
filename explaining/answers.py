"""Answers to questions about a run, and how people read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import fill

WIDTH = 100


@dataclass(frozen=True)
class Answer:
    """What a run says to one question, and the figures behind it, as sentences."""

    question: str
    answer: str
    figures: tuple[str, ...] = ()


class Answers(dict[str, list[Answer]]):
    """Answers by condition; printed as paragraphs, and shown as such by notebooks."""

    def __repr__(self) -> str:
        return paragraphs(self)

    def _repr_html_(self) -> str:
        return "".join(
            f"<h4>{escape(condition)}</h4><dl>{''.join(map(_as_html, answers))}</dl>"
            for condition, answers in self.items()
        )


def paragraphs(by_condition: Mapping[str, Sequence[Answer]], width: int = WIDTH) -> str:
    if not by_condition:
        return "Nothing stands beside the base."
    lines = []
    for condition, answers in by_condition.items():
        lines += [condition, ""]
        for one in answers:
            lines.append(fill(one.question, width))
            lines.append(fill(one.answer, width, initial_indent="  ", subsequent_indent="  "))
            lines += [fill(figure, width, initial_indent="  - ", subsequent_indent="    ") for figure in one.figures]
            lines.append("")
    return "\n".join(lines)


def _as_html(one: Answer) -> str:
    figures = "".join(f"<li>{escape(figure)}</li>" for figure in one.figures)
    return f"<dt>{escape(one.question)}</dt><dd><b>{escape(one.answer)}</b><ul>{figures}</ul></dd>"
