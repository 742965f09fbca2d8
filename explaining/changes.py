"""Did answers change, by discrimination or by calibration, and which languages lost?

Discrimination is AUC; accuracy moves with the bias for a label as well.
"""

from dataclasses import dataclass

from .run import Row, Run, Said
from .wording import change, over, sure, unknown


@dataclass(frozen=True)
class Moved:
    """What the answers say of a condition: both means, and the languages that moved after Holm."""

    auc: Row
    accuracy: Row
    languages: dict[str, list[Row]]  # quantity (auc, accuracy) -> rows of `accuracy_delta`

    @property
    def shifted(self) -> list[Row]:
        """Languages whose accuracy moved and whose AUC did not."""
        told_apart = {row["language"] for row in self.languages["auc"]}
        return [row for row in self.languages["accuracy"] if row["language"] not in told_apart]

    @property
    def discrimination(self) -> bool:
        return sure(self.auc)

    @property
    def calibration(self) -> bool:
        return not self.discrimination and (sure(self.accuracy) or bool(self.shifted))


def moved(run: Run) -> Moved | None:
    """None where nobody has asked for accuracy."""
    auc, accuracy = run.mean("auc"), run.mean("accuracy")
    if auc is None or accuracy is None:
        return None
    rows = run.rows("accuracy_delta")
    columns = {"auc": "auc_p_holm", "accuracy": "p_holm"}
    return Moved(auc, accuracy, {name: [row for row in rows if sure(row, p)] for name, p in columns.items()})


def answers_changed(run: Run) -> Said:
    found = moved(run)
    if found is None:
        return unknown("accuracy"), ()
    of = over(found.auc)
    figures = [f"AUC {of}: {change(found.auc)}.", f"Accuracy {of}: {change(found.accuracy)}."]
    figures += [f"{name} {over(row)}: {change(row)}." for name, row in _other_groups(run, found)]
    figures += [f"After Holm, AUC moved in {row['language']}: {change(row, 'auc_')}." for row in found.languages["auc"]]
    if found.shifted:
        figures.append(f"After Holm, accuracy moved and AUC did not in {_codes(found.shifted)}.")
    if found.discrimination:
        way = "rose" if found.auc["delta"] > 0 else "fell"
        return f"Discrimination {way} {of}.", figures
    alone = f", but AUC moved in {_codes(found.languages['auc'])}" if found.languages["auc"] else ""
    if found.calibration:
        return f"Calibration changed, the bias for a label; no evidence that discrimination did {of}{alone}.", figures
    return f"No evidence that the answers changed {of}{alone}.", figures


def languages_lost(run: Run) -> Said:
    languages = run.rows("accuracy_delta")
    if not languages:
        return unknown("accuracy"), ()
    lost = {
        name: [row for row in languages if row[f"{prefix}delta"] < 0 and sure(row, f"{prefix}p_holm")]
        for name, prefix in (("accuracy", ""), ("AUC", "auc_"))
    }
    said = [f"{name} in {len(rows)}" for name, rows in lost.items()]
    figures = [f"{row['language']}: accuracy {change(row)}." for row in lost["accuracy"]]
    figures += [f"{row['language']}: AUC {change(row, 'auc_')}." for row in lost["AUC"]]
    if not figures:
        return f"No evidence that any of the {len(languages)} languages lost, after Holm.", ()
    return f"Of {len(languages)} languages, lost after Holm: {' and '.join(said)}.", figures


def _other_groups(run: Run, found: Moved) -> list[tuple[str, Row]]:
    """Means over other groups of languages, where they moved: an answer about unseen ones must not hide them."""
    return [
        (name, row)
        for quantity, name in (("auc", "AUC"), ("accuracy", "Accuracy"))
        for row in run.rows("accuracy_groups", quantity=quantity)
        if row["group"] != found.auc["group"] and sure(row)
    ]


def _codes(rows: list[Row]) -> str:
    return " ".join(row["language"] for row in rows)
