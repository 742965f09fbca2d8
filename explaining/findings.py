"""What the tables say of each adapter, in sentences; no difference is said as plainly as one."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

SIGNIFICANT = 0.05
_QUANTITY = {"accuracy": "accuracy", "auc": "AUC", "calibrated": "calibrated accuracy"}
_GROUP = {"all": "all {n} languages", "trained": "the {n} trained languages", "untrained": "the {n} unseen languages"}


def verdict(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Sentences from the tables of a study (grid_groups, grid_delta), or else from those of `eval`."""
    if "grid_groups" in tables:
        return grid_verdict(tables["grid_groups"], tables["grid_delta"])
    if "accuracy_groups" in tables:
        return _accuracy_verdict(tables["accuracy_groups"], tables["accuracy_delta"])
    return []


def grid_verdict(groups: pd.DataFrame, deltas: pd.DataFrame) -> list[str]:
    """One sentence or two per condition and test: better than the base, and than the control? Where, and where worse?

    Better is said of discrimination: AUC over the languages that the condition was not trained on.
    """
    lines = []
    for (condition, test), own in groups.groupby(["condition", "task"], sort=False):
        mine = deltas[(deltas["condition"] == condition) & (deltas["task"] == test) & (deltas["against"] == "base")]
        compared = "; ".join(_against(own[own["against"] == name], str(name)) for name in pd.unique(own["against"]))
        lines.append(f"{condition} ({own['train_set'].iloc[0]}), {test}: {compared}. {_where(mine)}")
    return lines


def _against(own: pd.DataFrame, name: str) -> str:
    group = "unseen" if "unseen" in own["group"].to_numpy() else "all"
    rows = {row["quantity"]: row for row in own[own["group"] == group].to_dict("records")}
    first = rows["auc"] if "auc" in rows else rows["accuracy"]
    answer = "not better than" if not _sure(first) else "better than" if first["delta"] > 0 else "worse than"
    what = "the base" if name == "base" else f"the control {name}"
    figures = ", ".join(
        f"{_QUANTITY[quantity]} {row['delta']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]{'*' * _sure(row)}"
        for quantity, row in rows.items()
        if quantity != "calibrated"
    )
    return f"{answer} {what} ({first['n_languages']} {group} languages: {figures})"


def _where(deltas: pd.DataFrame) -> str:
    """In which languages, after Holm; unseen ones are counted, worse ones are all named."""
    better, worse = [], []
    for quantity in ("auc", "accuracy"):
        rows = deltas[deltas["quantity"] == quantity]
        sure = rows[rows["p_holm"] < SIGNIFICANT]
        higher = sure.loc[(sure["delta"] > 0) & ~sure["trained"], "language"].tolist()
        lower = sure.loc[sure["delta"] < 0, "language"].tolist()
        unseen = int((~rows["trained"]).sum())
        better.append(f"{_QUANTITY[quantity]} in {len(higher)} of {unseen} unseen{_named(higher)}")
        worse.append(f"{_QUANTITY[quantity]} in {len(lower)} of {len(rows)}{_named(lower)}")
    return f"After Holm, higher {' and '.join(better)}; lower {' and '.join(worse)}."


def _sure(row: Mapping[Any, Any]) -> bool:
    return bool(row["p_value"] < SIGNIFICANT)


def _accuracy_verdict(groups: pd.DataFrame, deltas: pd.DataFrame) -> list[str]:
    lines = []
    for condition in groups["condition"].unique():
        own = groups[groups["condition"] == condition]
        lines += [f"{condition}: {_sentence(row)}" for row in own.to_dict("records")]
        lines += [f"{condition}: {line}" for line in _by_language(deltas[deltas["condition"] == condition])]
    return lines


def _sentence(row: Mapping[Any, Any]) -> str:
    change = "rises" if row["delta"] > 0 else "falls"
    change = change if _sure(row) else "does not change significantly"
    return (
        f"mean {_QUANTITY[row['quantity']]} over {_GROUP[row['group']].format(n=row['n_languages'])} {change}: "
        f"{row['base']:.3f} to {row['aligned']:.3f}, difference {row['delta']:+.3f} "
        f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}], p = {row['p_value']:.2g}"
    )


def _by_language(deltas: pd.DataFrame) -> list[str]:
    lines = []
    for quantity, p in (("delta", "p_holm"), ("auc_delta", "auc_p_holm")):
        name = _QUANTITY["accuracy" if quantity == "delta" else "auc"]
        sure = deltas[deltas[p] < SIGNIFICANT]
        better, worse = (sure.loc[sign * sure[quantity] > 0, "language"].tolist() for sign in (1, -1))
        lower = deltas.loc[(deltas[quantity] < 0) & ~deltas["language"].isin(worse), "language"].tolist()
        lines.append(
            f"{name} after Holm: higher in {len(better)} of {len(deltas)} languages{_named(better)}, lower in "
            f"{len(worse)}{_named(worse)}; lower without significance in {len(lower)}{_named(lower)}"
        )
    return lines


def _named(codes: Sequence[str]) -> str:
    return f" ({' '.join(codes)})" if codes else ""
