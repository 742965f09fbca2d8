"""One look for all figures: a colour and marker per language, a tone per condition, themes, widths, type."""

import colorsys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import matplotlib
from matplotlib.colors import to_hex, to_rgb

from ..errors import UsageError
from .fonts import font_families

# Inches: an ACL page's column and its full text width; the text width of ICLR, which has one column.
WIDTHS = {"one": 3.03, "two": 6.30, "iclr": 5.50}
ONE_COLUMN = WIDTHS["one"]
TWO_COLUMNS = WIDTHS["two"]
TALLEST = 9.0  # inches; what remains of a page above a caption


@dataclass(frozen=True)
class Theme:
    """Colours of all that is not data."""

    paper: str
    ink: str
    grid: str
    missing: str  # cells without a value
    diverging: str  # colour map: losses red, gains blue, its middle near the paper


THEMES = {
    "light": Theme("#ffffff", "#1a1a1a", "#dddddd", "#e6e6e6", "RdBu"),
    "dark": Theme("#15181e", "#ececec", "#3a3f48", "#33373f", "berlin_r"),
}

# Told apart with any colour vision (Okabe and Ito), at least 3:1 from the paper of either theme, as all colours below.
GAIN = "#0072B2"
LOSS = "#D55E00"
NEUTRAL = "#767676"

# code: family, colour, marker. Hues of a family are neighbours; no two of its members have the same marker, and
# languages of one marker can be told apart with any colour vision.
LANGUAGES: dict[str, tuple[str, str, str]] = {
    "en": ("Germanic", "#5788D6", "o"),
    "de": ("Germanic", "#5E80F1", "s"),
    "nl": ("Germanic", "#8574CC", "^"),
    "sv": ("Germanic", "#726591", "D"),
    "no": ("Germanic", "#7C5CA1", "v"),
    "is": ("Germanic", "#824DCB", "P"),
    "fr": ("Romance", "#E92564", "o"),
    "es": ("Romance", "#BA727F", "s"),
    "it": ("Romance", "#CA391A", "^"),
    "ru": ("Slavic", "#499B5A", "D"),
    "pl": ("Slavic", "#3E7656", "v"),
    "bg": ("Slavic", "#307539", "P"),
    "sl": ("Slavic", "#6F993E", "X"),
    "hi": ("Indo-Aryan", "#AC5DA8", "X"),
    "bn": ("Indo-Aryan", "#C5047E", "*"),
    "zh": ("Sinitic/Japonic", "#A07E12", "o"),
    "ja": ("Sinitic/Japonic", "#726924", "s"),
    "th": ("Tai", "#0C7C7B", "^"),
    "ms": ("Austronesian", "#179FC4", "*"),
    "sw": ("Bantu", "#BC511E", "h"),
}
_MARKERS = "osD^vP*Xhp<>d8"


@dataclass(frozen=True)
class Style:
    """What a user chooses of a figure's look: a row of THEMES and one of WIDTHS.

    Raises:
        UsageError: there is no such row.
    """

    theme: str = "light"
    width: str = "two"

    def __post_init__(self) -> None:
        for what, name, known in (("style", self.theme, THEMES), ("width", self.width, WIDTHS)):
            if name not in known:
                raise UsageError(f"No {what} {name!r} for figures. Known: {', '.join(known)}.")


@dataclass(frozen=True)
class Tone:
    """How a condition is drawn: its colour, its dashes, and how far it fades a colour that has another meaning."""

    color: str
    dashes: tuple[float, ...]  # lengths of line and gap in units of line width; empty: solid
    fade: float


BASE = Tone("#8C8C8C", (2.4, 1.2), 0.25)  # grey, dashed
ALIGNED = Tone(THEMES["light"].ink, (), 0.0)  # the theme's ink, solid
FURTHER = (  # adapters beyond the first, in order
    Tone("#B07D00", (1.0, 1.0), 0.15),
    Tone("#A05EC4", (4.0, 1.0, 1.0, 1.0), 0.15),
    Tone("#008A8A", (5.0, 2.0), 0.25),
    Tone("#B2622D", (3.0, 1.0, 1.0, 1.0, 1.0, 1.0), 0.25),
    Tone("#C2476E", (1.5, 1.5), 0.25),
    Tone("#5C8A1E", (6.0, 1.0), 0.25),
    Tone("#4A7FC1", (2.0, 2.0, 6.0, 2.0), 0.25),
    Tone("#8A7A4A", (1.0, 2.0), 0.25),
)

_USUAL = Style()
_active: ContextVar[Style] = ContextVar("style", default=_USUAL)


def theme() -> Theme:
    """The theme within the innermost `figure_style`."""
    return THEMES[_active.get().theme]


def page_width() -> float:
    """Inches that a figure is wide within the innermost `figure_style`."""
    return WIDTHS[_active.get().width]


def language_color(language: str) -> str:
    """Hex colour of a language, the same in every figure. An unknown code gets one that depends on the code alone."""
    if language in LANGUAGES:
        return LANGUAGES[language][1].lower()
    hue = zlib.crc32(language.encode()) % 360 / 360  # crc32, because hash() differs from run to run
    return to_hex(colorsys.hls_to_rgb(hue, 0.42, 0.45))


def language_marker(language: str) -> str:
    """Matplotlib marker of a language; within a family no two are alike. Unknown codes get one from the code alone."""
    if language in LANGUAGES:
        return LANGUAGES[language][2]
    return _MARKERS[zlib.crc32(language.encode()[::-1]) % len(_MARKERS)]


def condition_tones(conditions: Sequence[str]) -> dict[str, Tone]:
    """The tone of each condition: `base` and `aligned` (or the only adapter) always look the same, others in order."""
    others = sorted((name for name in conditions if name != "base"), key=lambda name: name != "aligned")
    tones = {"base": BASE} if "base" in conditions else {}
    for i, name in enumerate(others):
        tones[name] = replace(ALIGNED, color=theme().ink) if i == 0 else FURTHER[(i - 1) % len(FURTHER)]
    return {name: tones[name] for name in conditions}


def foremost(conditions: Sequence[str]) -> str:
    """The condition to show where there is room for one: `aligned`, or the first adapter, or the base alone."""
    others = [name for name in conditions if name != "base"]
    return "aligned" if "aligned" in others else others[0] if others else conditions[0]


def fade(color: str, share: float) -> str:
    """Hex of `color` moved towards the paper by `share` in [0, 1]."""
    red, green, blue = (a + (b - a) * share for a, b in zip(to_rgb(color), to_rgb(theme().paper), strict=True))
    return to_hex((red, green, blue))


@contextmanager
def figure_style(style: Style | None = None) -> Iterator[None]:
    """Within it, figures have the house's rcParams and the colours and width of `style`; None: those around it.

    Figures are drawn and saved in it: small sans type, thin axes, editable text in PDF and SVG.
    """
    token = _active.set(style or _active.get())
    try:
        with matplotlib.rc_context(_settings(theme())):
            yield
    finally:
        _active.reset(token)


def _settings(colors: Theme) -> dict[Any, Any]:  # matplotlib types the keys as a closed list
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color", "legend.labelcolor")
    papered = ("figure.facecolor", "savefig.facecolor", "axes.facecolor")
    return {
        **dict.fromkeys(inked, colors.ink),
        **dict.fromkeys(papered, colors.paper),
        "font.family": font_families(),
        "font.size": 7.5,
        "axes.titlesize": 8,
        "axes.labelsize": 7.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "figure.titlesize": 9,
        "legend.frameon": False,
        "legend.columnspacing": 1.2,
        "legend.handlelength": 1.8,
        "legend.handletextpad": 0.5,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.linewidth": 0.4,
        "grid.color": colors.grid,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.2,
        "lines.markersize": 3.5,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
    }
