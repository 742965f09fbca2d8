"""The command line as data: its commands, and whether a line could be typed."""

import shlex
from collections.abc import Iterator
from typing import Any

import typer.main
from babelscope import cli


def leaves() -> Iterator[str]:
    """The commands that can be run, as they are typed."""
    yield from _leaves(typer.main.get_command(cli.app), ())


def _leaves(group: Any, path: tuple[str, ...]) -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, (*path, name))
        if not hasattr(command, "commands") or command.invoke_without_command:
            yield " ".join((*path, name))


def parse(line: str) -> None:
    """As the command line would, without running it; raises for what it does not know."""
    command: Any = typer.main.get_command(cli.app)
    arguments, context = shlex.split(line, comments=True)[1:], None
    while hasattr(command, "commands"):  # a group
        context = command.make_context("babelscope", list(arguments), parent=context)
        arguments = [*context._protected_args, *context.args]
        if not arguments and command.invoke_without_command:
            return
        _, command, arguments = command.resolve_command(context, arguments)
    command.make_context(command.name, arguments, parent=context)
