"""Fonts for the scripts of all languages: DejaVu Sans, and behind it what is installed for scripts that it lacks."""

import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from matplotlib.font_manager import fontManager

LATIN = "DejaVu Sans"  # ships with matplotlib: Latin and Cyrillic look the same everywhere


class FontWarning(UserWarning):
    """Text has characters for which no font is installed."""


@dataclass(frozen=True)
class Script:
    """A script that DejaVu Sans lacks, and where its glyphs can come from."""

    characters: str  # ranges, as in a regular expression
    families: tuple[str, ...]  # the best first
    packaged: tuple[str, str]  # Python module and file of the package that the extra `fonts` installs
    debian: str  # package of a Debian or Ubuntu system


_NOTO = "manimgx_fonts"
SCRIPTS = {
    "Devanagari": Script(
        "\u0900-\u097f", ("Noto Sans Devanagari", "Kohinoor Devanagari", "Nirmala UI"),
        (_NOTO, "NotoSansDevanagari[wght].ttf"), "fonts-noto-core",
    ),
    "Bengali": Script(
        "\u0980-\u09ff", ("Noto Sans Bengali", "Kohinoor Bangla", "Nirmala UI"),
        (_NOTO, "NotoSansBengali[wght].ttf"), "fonts-noto-core",
    ),
    "Thai": Script(
        "\u0e00-\u0e7f", ("Noto Sans Thai", "Thonburi", "Leelawadee UI"),
        (_NOTO, "NotoSansThai[wght].ttf"), "fonts-noto-core",
    ),
    "Chinese and Japanese": Script(
        "\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff00-\uffef",
        ("Noto Sans CJK SC", "Noto Sans CJK JP", "Hiragino Sans GB", "Microsoft YaHei"),
        ("noto_cjk_sans_otc", "NotoSansCJK-Regular.ttc"), "fonts-noto-cjk",
    ),
}  # fmt: skip


@cache
def font_families() -> list[str]:
    """What `font.family` is to be: DejaVu Sans, then one family for each script that has one here."""
    return list(dict.fromkeys([LATIN, *(family for name in SCRIPTS if (family := _family(name)))]))


def warn_of_missing(texts: Iterable[str]) -> None:
    """Warn once of every script in `texts` that no installed font has: its characters become empty boxes."""
    joined = "".join(texts)
    for name, script in SCRIPTS.items():
        if re.search(f"[{script.characters}]", joined) and _family(name) is None:
            warnings.warn(
                f"No font for {name} is installed, so its characters become empty boxes. Install one with "
                f"`pip install 'babelscope[fonts]'` or, on Debian and Ubuntu, `apt install {script.debian}`.",
                FontWarning,
                stacklevel=2,
            )


@cache
def _family(script: str) -> str | None:
    """The family to use for a row of SCRIPTS: the packaged font, else one of the system, else none."""
    row = SCRIPTS[script]
    module, file = row.packaged
    spec = find_spec(module)
    path = Path(next(iter(spec.submodule_search_locations or ()), "")) / file if spec else Path(file)
    if path.is_file():
        fontManager.addfont(path)
    known = {entry.name for entry in fontManager.ttflist}
    family = next((name for name in row.families if name in known), None)
    if family:
        _also_bold(family)
    return family


def _also_bold(family: str) -> None:
    """Let a family without a bold weight stand in for it: matplotlib would log a warning at every bold text."""
    entries = [entry for entry in fontManager.ttflist if entry.name == family]
    if all(entry.weight != 700 for entry in entries):
        fontManager.ttflist.append(replace(entries[0], weight=700))
