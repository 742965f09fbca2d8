"""One look for all figures: a colour and marker per language, a tone per condition, sizes and fonts for print."""

import colorsys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.colors import to_hex, to_rgb

ONE_COLUMN = 3.25  # inches; the column of an ACL or ICLR page
TWO_COLUMNS = 6.75  # inches; its full text width

GAIN = "#0072B2"  # blue and vermilion of Okabe and Ito: told apart with any colour vision
LOSS = "#D55E00"
NEUTRAL = "#767676"
DIVERGING = "RdBu"  # losses red, gains blue, as above

# code: family, colour (hues of a family are neighbours, after Paul Tol's "muted" scheme), marker (unlike in one family,
# which tells its members apart for colour-blind readers and in grey print).
LANGUAGES: dict[str, tuple[str, str, str]] = {
    "en": ("Germanic", "#332288", "o"),
    "de": ("Germanic", "#3B55C4", "s"),
    "nl": ("Germanic", "#7A5FD0", "^"),
    "sv": ("Germanic", "#2E6FA8", "D"),
    "no": ("Germanic", "#7A86D1", "v"),
    "is": ("Germanic", "#5C6B9C", "P"),
    "fr": ("Romance", "#CC6677", "o"),
    "es": ("Romance", "#B23A48", "s"),
    "it": ("Romance", "#DE8468", "^"),
    "ru": ("Slavic", "#117733", "o"),
    "pl": ("Slavic", "#5B9B37", "s"),
    "bg": ("Slavic", "#0B5A4A", "^"),
    "sl": ("Slavic", "#82A45A", "D"),
    "hi": ("Indo-Aryan", "#AA4499", "o"),
    "bn": ("Indo-Aryan", "#C66BB3", "s"),
    "zh": ("Sinitic/Japonic", "#A3972B", "o"),
    "ja": ("Sinitic/Japonic", "#75751A", "s"),
    "th": ("Tai", "#44AA99", "X"),
    "ms": ("Austronesian", "#56B4E9", "*"),
    "sw": ("Bantu", "#882255", "h"),
}
_MARKERS = "osD^vP*Xhp<>d8"


@dataclass(frozen=True)
class Tone:
    """How a condition is drawn: its colour, its dashes, and how far it lightens a colour that has another meaning."""

    color: str
    dashes: tuple[float, ...]  # lengths of line and gap in units of line width; empty: solid
    lighten: float


BASE = Tone("#8C8C8C", (2.4, 1.2), 0.42)  # light, dashed
ALIGNED = Tone("#1A1A1A", (), 0.0)  # dark, solid
FURTHER = (  # adapters beyond the first, in order
    Tone("#B8860B", (1.0, 1.0), 0.15),
    Tone("#7B3294", (4.0, 1.0, 1.0, 1.0), 0.15),
    Tone("#008080", (5.0, 2.0), 0.25),
    Tone("#A6611A", (3.0, 1.0, 1.0, 1.0, 1.0, 1.0), 0.25),
)


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
        tones[name] = ALIGNED if i == 0 else FURTHER[(i - 1) % len(FURTHER)]
    return {name: tones[name] for name in conditions}


def lighten(color: str, share: float) -> str:
    """Hex of `color` moved towards white by `share` in [0, 1]."""
    red, green, blue = to_rgb(color)
    return to_hex((1 - (1 - red) * (1 - share), 1 - (1 - green) * (1 - share), 1 - (1 - blue) * (1 - share)))


@contextmanager
def figure_style() -> Iterator[None]:
    """Within it, figures have the house's rcParams: small sans type, thin axes, editable text in PDF and SVG."""
    settings: dict[Any, Any] = {  # matplotlib types the keys as a closed list
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: same figure everywhere
        "font.size": 7.5,
        "axes.titlesize": 8,
        "axes.labelsize": 7.5,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "figure.titlesize": 9,
        "legend.frameon": False,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "grid.linewidth": 0.4,
        "grid.color": "#DDDDDD",
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "xtick.major.size": 2.5,
        "ytick.major.size": 2.5,
        "lines.linewidth": 1.2,
        "lines.markersize": 3.5,
        "figure.facecolor": "white",
        "savefig.facecolor": "white",
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "none",
    }
    with matplotlib.rc_context(settings):
        yield
