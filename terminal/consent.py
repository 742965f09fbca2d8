"""Asking before much is written."""

import sys
from collections.abc import Collection
from pathlib import Path

import typer

from ..errors import UsageError


def confirm_size(out: Path, n_bytes: int, arrays: Collection[str]) -> None:
    """Ask whether arrays may take their disk; where nobody can be asked, `--yes` must have been said.

    Raises:
        UsageError: nobody is there, or the answer is no.
    """
    size = f"{out} will take about {n_bytes / 1e6:,.0f} MB for {', '.join(arrays)}."
    if not sys.stdin.isatty():
        raise UsageError(f"{size} Give --yes to go on.")
    if not typer.confirm(f"{size} Go on?", err=True):
        raise UsageError("Nothing was written.")
