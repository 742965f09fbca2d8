"""One look for all figures: a colour and marker per language, a tone per condition, sizes and fonts for print."""

import colorsys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.colors import to_hex, to_rgb

ONE_COLUMN = 3.25  # inches; the column of an ACL or ICLR page
TWO_COLUMNS = 6.75  # inches; its full text width

GAIN = "#0072B2"  # blue and vermilion of Okabe and Ito: told apart with any colour vision
LOSS = "#D55E00"
NEUTRAL = "#767676"
DIVERGING = "RdBu"  # losses red, gains blue, as above

# Hue by family (Paul Tol's "muted" scheme, safe for colour-blind readers).
FAMILIES = {
    "Germanic": "#332288",
    "Romance": "#CC6677",
    "Slavic": "#117733",
    "Indo-Aryan": "#AA4499",
    "Sinitic/Japonic": "#999933",
    "Tai": "#44AA99",
    "Austronesian": "#56B4E9",
    "Bantu": "#882255",
}

# code: family, lightening of its hue (0 = the hue itself, 1 = white), marker (unlike in one family).
LANGUAGES: dict[str, tuple[str, float, str]] = {
    "en": ("Germanic", 0.00, "o"),
    "de": ("Germanic", 0.12, "s"),
    "nl": ("Germanic", 0.22, "^"),
    "sv": ("Germanic", 0.32, "D"),
    "no": ("Germanic", 0.42, "v"),
    "is": ("Germanic", 0.50, "P"),
    "fr": ("Romance", 0.00, "o"),
    "es": ("Romance", 0.18, "s"),
    "it": ("Romance", 0.34, "^"),
    "ru": ("Slavic", 0.00, "o"),
    "pl": ("Slavic", 0.16, "s"),
    "bg": ("Slavic", 0.32, "^"),
    "sl": ("Slavic", 0.44, "D"),
    "hi": ("Indo-Aryan", 0.00, "o"),
    "bn": ("Indo-Aryan", 0.26, "s"),
    "zh": ("Sinitic/Japonic", 0.00, "o"),
    "ja": ("Sinitic/Japonic", 0.26, "s"),
    "th": ("Tai", 0.00, "X"),
    "ms": ("Austronesian", 0.00, "*"),
    "sw": ("Bantu", 0.00, "h"),
}
_MARKERS = "osD^vP*Xhp<>d8"


@dataclass(frozen=True)
class Tone:
    """How a condition is drawn: its colour, its dashes and the share by which it lightens a colour of another meaning."""

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
        family, lightening, _ = LANGUAGES[language]
        return lighten(FAMILIES[family], lightening)
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
    return to_hex([1 - (1 - channel) * (1 - share) for channel in to_rgb(color)])


@contextmanager
def figure_style() -> Iterator[None]:
    """Within it, figures have the house's rcParams: small sans type, thin axes, editable text in PDF and SVG."""
    settings = {
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
