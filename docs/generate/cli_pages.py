"""Pages of the command line, from the functions that Typer makes it of: what `--help` says, to read at leisure."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

from babelscope.cli import app, options
from typer import Typer
from typer.models import ArgumentInfo, OptionInfo

PROGRAM = "babelscope"


@dataclass(frozen=True)
class Command:
    """As it is typed, the function that it calls (none for a mere heading), and what it says of itself."""

    name: str
    function: Callable[..., Any] | None
    help: str
    below: "list[Command]" = field(default_factory=list)

    def with_below(self) -> "list[Command]":
        return [self, *(deeper for one in self.below for deeper in one.with_below())]


def commands(of: Typer = app, name: str = PROGRAM) -> list[Command]:
    """The commands of an application, those of its groups below them."""
    found = []
    for group in of.registered_groups:
        assert group.name
        assert group.typer_instance
        callback = group.typer_instance.registered_callback
        typed = f"{name} {group.name}"
        function = callback.callback if callback and callback.invoke_without_command else None
        said = inspect.getdoc(function) if function else group.typer_instance.info.help
        found.append(Command(typed, function, said or "", commands(group.typer_instance, typed)))
    for command in of.registered_commands:
        assert command.callback
        own = command.name or command.callback.__name__.replace("_", "-")
        found.append(Command(f"{name} {own}", command.callback, inspect.getdoc(command.callback) or ""))
    return sorted(found, key=lambda command: command.name)


def cli_pages() -> dict[str, str]:
    """Markdown of each command with those below it, by file name; `index.md` lists all."""
    return {"index.md": _index()} | {f"{c.name.split()[-1]}.md": "\n".join(_section(c, "#")) for c in commands()}


def _index() -> str:
    lines = [
        "# Command line",
        "",
        "Every command has `--help` and `--json`. Exit codes: 0, it worked; 1, it failed; 2, something impossible was",
        "asked for. These options may stand anywhere on the line:",
        "",
        "| option | default | |",
        "|---|---|---|",
        *_parameters(options),
        "",
        "| command | |",
        "|---|---|",
    ]
    for command in (deeper for one in commands() for deeper in one.with_below()):
        page, *part = command.name.split()[1:]
        anchor = f"#{command.name.replace(' ', '-')}" if part else ""
        lines.append(f"| [`{command.name}`]({page}.md{anchor}) | {_told(command)[0]} |")
    return "\n".join([*lines, ""])


def _section(command: Command, level: str) -> list[str]:
    said, example, more = _told(command)
    lines = [f"{level} {command.name}", "", said, ""]
    if example:
        lines += ["```bash", example, "```", ""]
    if more:
        lines += [more, ""]
    if command.function:
        lines += ["| option | default | |", "|---|---|---|", *_parameters(command.function), ""]
    for below in command.below:
        lines += _section(below, "##")
    return lines


def _told(command: Command) -> tuple[str, str, str]:
    """What a command does, its example, and what else its help says."""
    first, _, more = command.help.partition("\n\n")
    said, _, example = " ".join(first.split()).partition("Example: ")
    return said.strip(), example.strip(" `"), " ".join(more.split())


def _parameters(function: Callable[..., Any]) -> list[str]:
    """Rows of a table, one for each argument and option."""
    rows = []
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        for info in get_args(hints[name])[1:]:
            if isinstance(info, (ArgumentInfo, OptionInfo)):
                kind, *_ = get_args(hints[name])
                told = (info.help or "").replace("|", "\\|")
                rows.append(f"| {_typed(name, info, kind)} | {_default(parameter.default)} | {told} |")
    return rows


def _typed(name: str, info: ArgumentInfo | OptionInfo, kind: Any) -> str:
    several = "..." if "list[" in str(kind) else ""
    if isinstance(info, ArgumentInfo):
        return f"`{name.upper()}{several}`"
    value = "" if kind is bool else f" *{_kind(kind)}{several}*"
    # Typer takes the first name for a default, as in `name: str = Option(default, "--name")`, until it parses.
    names = [option for option in (info.default, *(info.param_decls or ())) if str(option).startswith("-")]
    return ", ".join(f"`{option}`" for option in names) + value


def _kind(kind: Any) -> str:
    for known, told in {"Path": "path", "int": "number"}.items():
        if known in str(kind):
            return told
    return "text"


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    return "" if value is None or value is False else f"`{value}`"
