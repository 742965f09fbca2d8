"""Curves of lens quantities by layer, averaged over languages; and the languages of the likeliest tokens."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .heatmap import delta_figure
from .legends import add_legend
from .style import GAIN, LOSS, NEUTRAL, TWO_COLUMNS, condition_tones, figure_style, lighten
from .tables import conditions_in, require, rows_where

SPOKEN = {"English": GAIN, "prompt's language": LOSS, "other languages": "#8DB580", "unknown": "#D9D9D9"}
LENSES = {"logit": GAIN, "tuned": LOSS, "constant": NEUTRAL}
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


def plot_lens_languages(shares: pd.DataFrame) -> Figure:
    """Per condition, what share of the likeliest tokens is English, of the prompt's language, of others, of none.

    Stacked areas by layer, mean over the languages other than English; they fill the panel from 0 to 1.

    Args:
        shares: `logit_lens_languages.csv`: language, condition, layer, token_language, share.

    Raises:
        DataError: an empty table, missing columns, or English alone.
    """
    require(shares, ("language", "condition", "layer", "token_language", "share"), "logit_lens_languages table")
    grouped = spoken_shares(shares)
    conditions = conditions_in(grouped)
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 2.4), layout="constrained")
        panels = figure.subplots(1, len(conditions), sharex=True, sharey=True, squeeze=False)[0]
        for ax, name in zip(panels, conditions, strict=True):
            wide = grouped[grouped["condition"] == name].pivot(index="layer", columns="spoken", values="share")
            ax.stackplot(wide.index, *(wide[kind] for kind in SPOKEN), colors=list(SPOKEN.values()), linewidth=0)
            ax.set(title=name, xlabel="layer", ylim=(0, 1), xlim=(wide.index.min(), wide.index.max()))
        panels[0].set_ylabel("share of top tokens")
        add_legend(figure, [Patch(color=color, label=kind) for kind, color in SPOKEN.items()], columns=4)
    return figure


def spoken_shares(shares: pd.DataFrame) -> pd.DataFrame:
    """Shares of four kinds, mean over languages but English: condition, layer, spoken, share; kinds sum to 1."""
    others = shares[shares["language"] != "en"]
    require(others, ("language",), "logit_lens_languages table without English")
    kind = pd.Series("other languages", index=others.index)
    kind[others["token_language"] == "en"] = "English"
    kind[others["token_language"] == others["language"]] = "prompt's language"
    kind[others["token_language"] == "unknown"] = "unknown"
    summed = others.assign(spoken=kind).groupby(["language", "condition", "layer", "spoken"], sort=False)["share"].sum()
    mean = summed.groupby(level=["condition", "layer", "spoken"], sort=False).mean()
    full = pd.MultiIndex.from_product(
        [pd.unique(others["condition"]), sorted(pd.unique(others["layer"])), SPOKEN], names=mean.index.names
    )
    return mean.reindex(full, fill_value=0.0).reset_index()


def plot_lens_summaries(values: pd.DataFrame) -> Figure:
    """Rank of the right answer, token energy and distance to the end by layer: a line per language, their mean bold.

    Args:
        values: `logit_lens.csv`: language, condition, layer, quantity, value.

    Raises:
        DataError: an empty table, missing columns, or none of one of the quantities.
    """
    require(values, ("language", "condition", "layer", "quantity", "value"), "logit_lens table")
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 2.4), layout="constrained")
        for ax, (quantity, title) in zip(figure.subplots(1, len(_SUMMARIES)), _SUMMARIES.items(), strict=True):
            rows = rows_where(values, "quantity", quantity, "logit_lens table")
            for name, tone in condition_tones(conditions_in(rows)).items():
                _draw_languages(ax, rows[rows["condition"] == name], tone.color, tone.dashes, name)
            ax.set(title=title, xlabel="layer")
            if quantity == "kl_to_final_bits":
                ax.set_yscale("symlog", linthresh=0.1)
        ax_tones = condition_tones(conditions_in(values))
        handles = [Line2D([], [], color=tone.color, label=name) for name, tone in ax_tones.items()]
        add_legend(figure, handles, columns=4)
    return figure


def plot_lens_summaries_delta(deltas: pd.DataFrame) -> Figure:
    """Heat maps of aligned - base for what `plot_lens_summaries` shows and for the languages of top tokens.

    Args:
        deltas: `logit_lens_delta.csv`: language, condition, layer, quantity, delta, p_holm.

    Raises:
        DataError: an empty table or missing columns.
    """
    what = "logit_lens_delta table"
    require(deltas, ("language", "condition", "layer", "quantity", "delta", "p_holm"), what)
    shown = deltas[deltas["quantity"].isin(list(_DELTAS))]
    require(shown, ("quantity",), f"{what} without {', '.join(_DELTAS)}")
    columns = [(f"{name} − base", shown["condition"] == name) for name in conditions_in(shown)]
    return delta_figure(shown, columns, _DELTAS)


def plot_tuned_lens(values: pd.DataFrame) -> Figure:
    """Logit, tuned and constant lens on ids that were not trained on; panels of quantity (down) by condition (across).

    Args:
        values: `tuned_lens.csv`: language, condition, layer, lens, quantity, value.

    Raises:
        DataError: an empty table, missing columns, or none of one of the quantities.
    """
    require(values, ("language", "condition", "layer", "lens", "quantity", "value"), "tuned_lens table")
    conditions = conditions_in(values)
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 5.2), layout="constrained")
        axes = figure.subplots(len(_TUNED), len(conditions), sharex=True, sharey="row", squeeze=False)
        for line, (quantity, title) in zip(axes, _TUNED.items(), strict=True):
            rows = rows_where(values, "quantity", quantity, "tuned_lens table")
            for ax, name in zip(line, conditions, strict=True):
                for lens, color in LENSES.items():
                    here = rows[(rows["condition"] == name) & (rows["lens"] == lens)]
                    _draw_languages(ax, here, color, (), lens)
                if quantity == "kl_to_final_bits":
                    ax.set_yscale("symlog", linthresh=0.1)
                    ax.set_title(name)
            line[0].set_ylabel(title)
        for ax in axes[-1]:
            ax.set_xlabel("layer")
        add_legend(
            figure, [Line2D([], [], color=color, label=f"{lens} lens") for lens, color in LENSES.items()], columns=3
        )
    return figure


def _draw_languages(ax: Axes, rows: pd.DataFrame, color: str, dashes: Sequence[float], name: str) -> None:
    for _, of_language in rows.groupby("language", sort=False):
        line = of_language.sort_values("layer")
        ax.plot(line["layer"], line["value"], color=lighten(color, 0.6), linewidth=0.4, gid=f"language {name}")
    mean = rows.groupby("layer")["value"].mean()
    ax.plot(mean.index, mean, color=color, dashes=tuple(dashes), linewidth=1.6, zorder=4, gid=f"mean {name}")
