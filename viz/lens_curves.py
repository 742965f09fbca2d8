"""Curves of lens quantities by layer, averaged over languages; and the languages of the likeliest tokens."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .alignment import mean_over_languages
from .heatmap import delta_figure, differences
from .lines import draw_line, name_lines
from .panels import panels
from .style import GAIN, LOSS, NEUTRAL, Tone, condition_tones, fade, figure_style
from .tables import conditions_in, require, rows_where

SPOKEN = ("English", "prompt's language", "other languages", "unknown")
LENSES = {"logit": Tone(GAIN, (), 0), "tuned": Tone(LOSS, (), 0), "constant": Tone(NEUTRAL, (1.5, 1.0), 0)}
_SUMMARIES = {
    "right_answer_log2_rank": "log2 rank of the right answer",
    "token_energy": "token energy",
    "kl_to_final_bits": "KL to the final layer (bits)",
}
_DELTAS = {
    "right_answer_log2_rank": "log2 rank",
    "token_energy": "token energy",
    "kl_to_final_bits": "KL to final (bits)",
    "top_english_share": "English tokens",
    "top_own_share": "own tokens",
}
_TUNED = {
    "kl_to_final_bits": "KL to the final layer (bits)",
    "entropy_bits": "entropy (bits)",
    "english_mass": "P(English words)",
}
_COLUMNS = ("language", "condition", "layer", "quantity", "value")


def plot_lens_curve(ax: Axes, rows: pd.DataFrame, by: str, tones: Mapping[str, Tone]) -> Axes:
    """Draw the mean over languages by layer, with its 95% interval across them, and thin lines of single languages.

    A distance to the final layer is drawn on a logarithmic scale that reaches 0.

    Args:
        ax: Where to draw.
        rows: Of one quantity: language, condition, layer, value, and the column `by`.
        by: What lines are of: `condition` or `lens`.
        tones: Its values, and how they are drawn.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, ("language", "condition", "layer", "value", by), "table of a lens quantity")
    means = mean_over_languages(rows, [] if by == "condition" else [by])
    for name, tone in tones.items():
        own = rows[rows[by] == name]
        for _, line in own.groupby("language", sort=False):
            line = line.sort_values("layer")
            ax.plot(line["layer"], line["value"], color=fade(tone.color, 0.6), linewidth=0.4, gid=f"language {name}")
        above = 5 if name == "base" else 4  # its dashes leave an equal line in sight
        mean = means[means[by] == name]
        draw_line(ax, mean, tone.color, f"mean {name}", dashes=tone.dashes, linewidth=1.6, zorder=above)
    if "quantity" in rows and (rows["quantity"] == "kl_to_final_bits").all():
        ax.set_yscale("symlog", linthresh=0.1)
        ax.set_ylim(bottom=0)
    ax.grid(axis="y")
    return ax


def lens_languages_figure(shares: pd.DataFrame) -> Figure:
    """What share of the likeliest tokens is English, of the prompt's language, of others, of none: a panel each.

    By layer and condition, mean over the languages other than English, see `plot_lens_curve`; at each layer the four
    sum to 1.

    Args:
        shares: `logit_lens_languages.csv`: language, condition, layer, token_language, share.

    Raises:
        DataError: an empty table, missing columns, or English alone.
    """
    require(shares, ("language", "condition", "layer", "token_language", "share"), "logit_lens_languages table")
    kinds = spoken_shares(shares).rename(columns={"share": "value"})
    tones = condition_tones(conditions_in(kinds))
    with figure_style():
        made = panels(1, len(SPOKEN), 1.5, 0.7, sharey="all")
        for ax, kind in zip(made.axes[0], SPOKEN, strict=True):
            plot_lens_curve(ax, kinds[kinds["spoken"] == kind], "condition", tones)
        made.name_columns(SPOKEN)
        made.name_rows(["share of top tokens"])
        made.name_layers()
        name_lines(made.axes[0, -1], tones)
    return made.figure


def spoken_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Shares of the four kinds of SPOKEN for languages but English: language, condition, layer, spoken, share.

    The kinds of one language, condition and layer sum to 1; one that does not occur has a row with 0.

    Raises:
        DataError: English alone.
    """
    others = shares[shares["language"] != "en"]
    require(others, ("language",), "logit_lens_languages table without English")
    kind = pd.Series("other languages", index=others.index)
    kind[others["token_language"] == "en"] = "English"
    kind[others["token_language"] == others["language"]] = "prompt's language"
    kind[others["token_language"] == "unknown"] = "unknown"
    keys = ["language", "condition", "layer"]
    summed = others.assign(spoken=kind).pivot_table("share", keys, "spoken", aggfunc="sum", sort=False)
    full = summed.reindex(columns=list(SPOKEN)).fillna(0.0).reset_index()
    return full.melt(keys, var_name="spoken", value_name="share")


def lens_summaries_figure(values: pd.DataFrame) -> Figure:
    """Rank of the right answer, token energy and distance to the end by layer: see `plot_lens_curve`.

    Args:
        values: `logit_lens.csv`: language, condition, layer, quantity, value.

    Raises:
        DataError: an empty table, missing columns, or none of one of the quantities.
    """
    require(values, _COLUMNS, "logit_lens table")
    tones = condition_tones(conditions_in(values))
    with figure_style():
        made = panels(1, len(_SUMMARIES), 1.7, 0.7, narrow=1, sharey="none")
        for ax, quantity in zip(made.axes[0], _SUMMARIES, strict=True):
            plot_lens_curve(ax, rows_where(values, "quantity", quantity, "logit_lens table"), "condition", tones)
        made.name_columns(list(_SUMMARIES.values()))
        made.name_layers()
        name_lines(made.axes[0, -1], tones)
    return made.figure


def lens_summaries_delta_figure(deltas: pd.DataFrame) -> Figure:
    """Heat maps of aligned - base for what `lens_summaries_figure` shows and for the languages of top tokens.

    Args:
        deltas: `logit_lens_delta.csv`: language, condition, layer, quantity, delta, p_holm.

    Raises:
        DataError: an empty table or missing columns.
    """
    what = "logit_lens_delta table"
    require(deltas, ("language", "condition", "layer", "quantity", "delta", "p_holm"), what)
    shown = deltas[deltas["quantity"].isin(list(_DELTAS))]
    require(shown, ("quantity",), f"{what} without {', '.join(_DELTAS)}")
    return delta_figure(shown, differences(shown), _DELTAS)


def tuned_lens_figure(values: pd.DataFrame) -> Figure:
    """Logit, tuned and constant lens on ids that were not trained on; panels of quantity (down) by condition (across).

    Args:
        values: `tuned_lens.csv`: language, condition, layer, lens, quantity, value.

    Raises:
        DataError: an empty table, missing columns, or none of one of the quantities.
    """
    require(values, (*_COLUMNS, "lens"), "tuned_lens table")
    conditions = conditions_in(values)
    with figure_style():
        made = panels(len(_TUNED), len(conditions), 1.55, 0.6)
        for line, quantity in zip(made.axes, _TUNED, strict=True):
            rows = rows_where(values, "quantity", quantity, "tuned_lens table")
            for ax, name in zip(line, conditions, strict=True):
                plot_lens_curve(ax, rows[rows["condition"] == name], "lens", LENSES)
        made.name_columns(conditions)
        made.name_rows(list(_TUNED.values()))
        made.name_layers()
        name_lines(made.axes[0, -1], LENSES)
    return made.figure
