"""The table of languages: `data/languages.toml`, one row each."""

import difflib
import tomllib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ..errors import UsageError


@dataclass(frozen=True)
class Language:
    code: str
    name: str
    endonym: str  # its name in the language itself
    script: str
    confused_with: tuple[str, ...] = ()  # codes that a language identifier may answer instead


@cache
def languages() -> dict[str, Language]:
    """All known languages by code, in the order of the table."""
    rows = tomllib.loads((files(__package__) / "data" / "languages.toml").read_text(encoding="utf-8"))
    return {
        code: Language(code, row["name"], row["endonym"], row["script"], tuple(row.get("confused_with", ())))
        for code, row in rows.items()
    }


def language(code: str) -> Language:
    """One row of the table; an unknown code is a `UsageError` that offers the nearest one."""
    table = languages()
    if code in table:
        return table[code]
    by_name = {row.name.lower(): row.code for row in table.values()}
    near = by_name.get(code.lower()) or next(iter(difflib.get_close_matches(code.lower(), [*table, *by_name], 1)), None)
    hint = f" Did you mean {by_name.get(near, near)!r}?" if near else ""
    raise UsageError(f"Unknown language {code!r}.{hint} Known: {' '.join(table)}.")


def select_languages(wanted: str | Iterable[str], available: Collection[str], what: str) -> list[str]:
    """Resolve `all`, `zh,de` or a list of codes against what `what` (a task, a cache) holds."""
    if wanted == "all":
        return list(available)
    codes = [part.strip() for part in wanted.split(",")] if isinstance(wanted, str) else list(wanted)
    if not [code for code in codes if code]:
        raise UsageError(f"No language was named for {what}. Give `all` or some of: {' '.join(available)}.")
    for code in codes:
        language(code)
        if code not in available:
            raise UsageError(f"{what} has no data in {code!r} ({language(code).name}). It has: {' '.join(available)}.")
    return list(dict.fromkeys(codes))
