"""One question, one answer: what the tables of a run say of alignment, with the figures, and what they cannot say.

Every answer begins with what was found, with "No evidence", or with "Unknown" and what to run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .answers import Answer
from .findings import SIGNIFICANT
from .probes.statistics import holm

Tables = Mapping[str, pd.DataFrame]
Row = Mapping[str, Any]
Said = tuple[str, Sequence[str]]  # an answer and the figures behind it

CHANCE = 0.5  # of AUC
SMALL = 0.01  # values below it are told to six decimals
FEWEST_LANGUAGES = 6  # a bootstrap over fewer cannot have p < 0.05
UNTRANSLATED = ("copied", "shuffled")  # how grids describe what the controls of translation were trained on
# Of the measures of alignment, those that are smaller where languages are more alike, and those of one language alone.
DISTANCES, OF_ONE = ("centroid_distance",), ("anisotropy",)


@dataclass(frozen=True)
class Run:
    """The tables of one condition beside the base."""

    tables: Tables
    condition: str

    @property
    def group(self) -> str:
        """What grids call it: its repeats are one."""
        return self.condition.split("@")[0]

    def rows(self, table: str, **values: Any) -> list[Row]:
        """Rows of this condition that have these values; none where there is no such table."""
        found = self.tables.get(table, pd.DataFrame())
        for column, value in {"condition": self.condition, **values}.items():
            found = found[found[column] == value] if column in found else found.iloc[:0]
        return found.to_dict("records")  # type: ignore[return-value]

    def every(self, table: str) -> list[Row]:
        """All rows of a table, whatever the condition."""
        return self.tables.get(table, pd.DataFrame()).to_dict("records")  # type: ignore[return-value]

    def mean(self, quantity: str) -> Row | None:
        """The difference from the base over the languages that were not trained on, or over all where all were."""
        rows = {row["group"]: row for row in self.rows("accuracy_groups", quantity=quantity)}
        return rows.get("untrained", rows.get("all"))


def explain(tables: Tables) -> dict[str, list[Answer]]:
    """Answers to `QUESTIONS` about each condition, from the tables of a study or of `babelscope probe`."""
    named = [table["condition"] for name, table in tables.items() if "condition" in table and "grid" not in name]
    conditions = dict.fromkeys(name for column in named for name in pd.unique(column) if name != "base")
    return {
        condition: [Answer(q, text, tuple(figures)) for q, (text, figures) in _asked(Run(tables, condition))]
        for condition in conditions
    }


def _asked(run: Run) -> list[tuple[str, Said]]:
    return [(question, answer(run)) for question, answer in QUESTIONS.items()]


def _answers(run: Run) -> Said:
    """Discrimination is AUC; accuracy moves with the bias for a label as well."""
    auc, accuracy = run.mean("auc"), run.mean("accuracy")
    if auc is None or accuracy is None:
        return _unknown("accuracy"), ()
    of = _over(auc)
    shifted = [r["language"] for r in run.rows("accuracy_delta") if _sure(r, "p_holm") and not _sure(r, "auc_p_holm")]
    figures = [f"AUC {of}: {_change(auc)}.", f"Accuracy {of}: {_change(accuracy)}."]
    if shifted:
        figures.append(f"After Holm, accuracy moved and AUC did not in {' '.join(shifted)}.")
    if _sure(auc):
        way = "rose" if auc["delta"] > 0 else "fell"
        return f"Discrimination {way} {of}.", figures
    if _sure(accuracy) or shifted:
        return f"Calibration changed, the bias for a label; no evidence that discrimination did {of}.", figures
    return f"No evidence that the answers changed {of}.", figures


def _losses(run: Run) -> Said:
    languages = run.rows("accuracy_delta")
    if not languages:
        return _unknown("accuracy"), ()
    lost = {
        name: [row for row in languages if row[f"{prefix}delta"] < 0 and _sure(row, f"{prefix}p_holm")]
        for name, prefix in (("accuracy", ""), ("AUC", "auc_"))
    }
    said = [f"{name} in {len(rows)}" for name, rows in lost.items()]
    figures = [f"{row['language']}: accuracy {_change(row)}." for row in lost["accuracy"]]
    figures += [f"{row['language']}: AUC {_change(row, 'auc_')}." for row in lost["AUC"]]
    if not figures:
        return f"No evidence that any of the {len(languages)} languages lost, after Holm.", ()
    return f"Of {len(languages)} languages, lost after Holm: {' and '.join(said)}.", figures


def _control(run: Run) -> Said:
    """Against adapters that were tuned on the same questions, and learnt no translation from them."""
    trained_on = {row["condition"]: row["train_set"] for row in run.every("grid")}
    if trained_on.get(run.group, "").endswith(UNTRANSLATED):
        return "It is itself a control: nothing true was translated in its training.", ()
    compared = [
        row
        for row in run.rows("grid_groups", condition=run.group, quantity="auc")
        if trained_on.get(row["against"], "").endswith(UNTRANSLATED) and row["group"] in ("unseen", "all")
    ]
    by_control = {row["against"]: row for row in sorted(compared, key=lambda row: row["group"])}  # unseen over all
    if not by_control:
        return (
            "Unknown: no adapter was trained on the same questions without their translations. Add one with "
            "`objective: copy`, and one with `objective: shuffle`, to the study.",
            (),
        )
    figures = [
        f"AUC against {name} ({trained_on[name]}) over {row['n_languages']} {row['group']} languages: "
        f"{row['delta']:+.3f} {_interval(row)}."
        for name, row in by_control.items()
    ]
    if min(row["n_languages"] for row in by_control.values()) < FEWEST_LANGUAGES:
        return f"Unknown: fewer than {FEWEST_LANGUAGES} languages are too few to tell.", figures
    better = [name for name, row in by_control.items() if _sure(row) and row["delta"] > 0]
    if len(better) == len(by_control):
        return f"It is better than {' and '.join(better)}, so translation has a part in it.", figures
    others = [name for name in by_control if name not in better]
    return f"No evidence that translation has a part in it: not better than {' and '.join(others)}.", figures


def _alignment(run: Run) -> Said:
    rows = [row for row in run.rows("alignment_mean_delta") if row["quantity"] not in OF_ONE]
    if not rows:
        return _unknown("alignment"), ()
    by_measure = _by(rows, "position", "quantity")
    figures = [
        f"{quantity} at {position}: {'; '.join(ways)}."
        for (position, quantity), own in by_measure.items()
        if (ways := _ways(own))
    ]
    if not figures:
        return f"No evidence that any of {len(by_measure)} measures moved in any layer, after Holm over layers.", ()
    looked_at = f"{len(by_measure)} measures and positions were looked at"
    figures.append(f"{looked_at}, each corrected over layers: by chance one in 20 moves.")
    return " ".join(_where(position, own) for (position,), own in _by(rows, "position").items()), figures


def _where(position: str, rows: Sequence[Row]) -> str:
    """The layers in which at least half of the measures say the same and none the opposite, and where they disagree."""
    measures = {row["quantity"] for row in rows}
    found: dict[str, list[int]] = {"more": [], "less": []}
    torn = []
    for (layer,), own in _by(rows, "layer").items():
        nearer = [(row["delta"] > 0) != (row["quantity"] in DISTANCES) for row in own if _sure(row, "p_holm")]
        if any(nearer) and not all(nearer):
            torn.append(layer)
        elif nearer and len(nearer) >= len(measures) / 2:
            found["more" if all(nearer) else "less"].append(layer)
    ways = [f"{likeness} alike in layers {_spans(layers)}" for likeness, layers in found.items() if layers]
    of = f"half or more of {len(measures)} measures" if len(measures) > 1 else next(iter(measures))
    disagreement = f"; measures disagree in layers {_spans(torn)}" if torn else ""
    moved = " and ".join(ways) or "neither more nor less alike in any layer"
    return f"By {of}, languages at {position} became {moved}{disagreement}."


def _ways(rows: Sequence[Row]) -> list[str]:
    """In which layers a measure rose and fell for sure, and by how much at most."""
    ways = []
    for way, sign in (("rose", 1), ("fell", -1)):
        if sure := [row for row in rows if _sure(row, "p_holm") and sign * row["delta"] > 0]:
            top, spans = max(sure, key=lambda row: abs(row["delta"])), _spans([row["layer"] for row in sure])
            ways.append(f"{way} in layers {spans}, most in layer {top['layer']}: {_change(top)}")
    return ways


def _cause(run: Run) -> Said:
    """Blocks that carry the change, and whether states of the parallel English question mend answers."""
    only = run.rows("transplant_delta", language="all", kind="adapter_only", against="base")
    alone = _adjusted([row for row in only if row["quantity"] in ("auc", "log_odds")])
    patched = _adjusted(run.rows("repair_delta", language="all", quantity="repaired", against="same label"))
    if not alone and not patched:
        return _unknown("transplant", "repair"), ()
    names = {"auc": "AUC", "log_odds": "log odds of the right label"}
    figures = [
        f"The adapter in blocks {row['blocks']} alone moves {names[row['quantity']]} by {row['delta']:+.3f} "
        f"{_interval(row)}."
        for row in alone
        if _sure(row, "p_holm")
    ]
    mended = [row for row in patched if _sure(row, "p_holm") and row["delta"] > 0]
    if mended:
        top = max(mended, key=lambda row: row["delta"])
        figures.append(
            "States of the parallel English question repair more wrong answers than those of another question with "
            f"the same label: most at {top['position']}, layer {top['layer']}: {top['delta']:+.3f} {_interval(top)}."
        )
    elif patched:
        figures.append(
            "No evidence that states of the parallel English question repair more than any of the same label."
        )
    auc = run.mean("auc")
    if auc is None:
        return _unknown("accuracy"), figures
    if not _sure(auc) or auc["delta"] <= 0:
        return "No evidence of a gain in discrimination, so there is none to explain.", figures
    if not alone:
        return _unknown("transplant"), figures
    carried = [row for row in alone if row["quantity"] == "auc" and _sure(row, "p_holm") and row["delta"] > 0]
    if not carried:
        return "No evidence of where the gain comes from: no group of blocks gives it alone.", figures
    spans = " and ".join(row["blocks"] for row in carried)
    return f"The gain is given by the adapter in blocks {spans} alone.", figures


def _limits(run: Run) -> Said:
    figures = []
    auc = run.mean("auc")
    if auc is not None:
        half = max(auc["ci_high"] - auc["delta"], auc["delta"] - auc["ci_low"])
        figures.append(
            f"Differences in mean AUC below about {half:.3f} would not be seen with {auc['n_ids']} parallel examples."
        )
    at_chance = [row["language"] for row in run.rows("accuracy") if row["auc_ci_low"] <= CHANCE]
    if at_chance:
        figures.append(f"AUC is not above chance in {' '.join(at_chance)}: there, nothing about meaning can be said.")
    repeats = {row["repeats"] for row in run.rows("grid_groups", condition=run.group)}
    if not repeats or max(repeats) < 2:
        figures.append("One adapter was trained: another seed may differ (`seeds:` in the study).")
    missing = [name for name, tables in NEEDED.items() if not any(run.rows(table) for table in tables)]
    if missing:
        figures.append(f"Not asked: {', '.join(missing)}.")
    figures.append("One model, one task, these texts: another may differ.")
    return "Not more than the following allows.", figures


QUESTIONS: dict[str, Callable[[Run], Said]] = {
    "Did answers change, by discrimination or by calibration?": _answers,
    "Which languages lost?": _losses,
    "Is it the translation, or any tuning?": _control,
    "In which layers did alignment move?": _alignment,
    "What carries the gain, causally?": _cause,
    "What cannot be concluded?": _limits,
}

# What a probe leaves for explanations, by the name of the probe.
NEEDED = {
    "accuracy": ("accuracy_delta",),
    "alignment": ("alignment_mean_delta",),
    "transplant": ("transplant_delta",),
    "repair": ("repair_delta",),
}


def _unknown(*probes: str) -> str:
    commands = " and ".join(f"`babelscope probe {name}`" for name in probes)
    return f"Unknown: run {commands} with the same --out."


def _sure(row: Row, p: str = "p_value") -> bool:
    return bool(row[p] < SIGNIFICANT)


def _over(row: Row) -> str:
    return f"over {row['n_languages']} {'unseen languages' if row['group'] == 'untrained' else 'languages'}"


def _adjusted(rows: Sequence[Row]) -> list[Row]:
    """Rows with p_holm over all of them: whoever looks for the largest has looked at all."""
    adjusted = holm(np.array([row["p_value"] for row in rows], dtype=float)) if rows else ()
    return [{**row, "p_holm": float(p)} for row, p in zip(rows, adjusted, strict=True)]


def _change(row: Row, prefix: str = "") -> str:
    base, aligned, delta = (row[f"{prefix}{name}"] for name in ("base", "aligned", "delta"))
    digits = 3 if max(abs(base), abs(aligned)) >= SMALL else 6
    return f"{base:.{digits}f} to {aligned:.{digits}f}, {delta:+.{digits}f} {_interval(row, prefix, digits)}"


def _interval(row: Row, prefix: str = "", digits: int = 3) -> str:
    return f"[{row[f'{prefix}ci_low']:+.{digits}f}, {row[f'{prefix}ci_high']:+.{digits}f}]"


def _by(rows: Sequence[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def _spans(layers: Sequence[int]) -> str:
    """3 4 5 9 -> `3-5, 9`."""
    spans: list[list[int]] = []
    for layer in sorted(layers):
        if spans and layer == spans[-1][-1] + 1:
            spans[-1].append(layer)
        else:
            spans.append([layer])
    return ", ".join(f"{span[0]}-{span[-1]}" if len(span) > 1 else str(span[0]) for span in spans)
