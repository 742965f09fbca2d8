"""What cannot be concluded from a run: too few examples, answers at chance, one seed, what was not asked."""

from .causes import EVIDENCE
from .run import Run, Said

CHANCE = 0.5  # of AUC

# The table that a probe leaves for explanations, by the name of the probe.
NEEDED = {
    "accuracy": "accuracy_delta",
    "alignment": "alignment_mean_delta",
    **{evidence.probe: evidence.table for evidence in EVIDENCE},
}


def limits(run: Run) -> Said:
    figures = []
    auc = run.mean("auc")
    if auc is not None:
        half = max(auc["ci_high"] - auc["delta"], auc["delta"] - auc["ci_low"])
        figures.append(
            f"Differences in mean AUC below about {half:.3f} would not be seen with {auc['n_ids']} parallel examples."
            if half > 0
            else "Scores order the examples exactly as in the base: nothing was learnt, or the adapter was not in use."
        )
    at_chance = [row["language"] for row in run.rows("accuracy") if row["auc_ci_low"] <= CHANCE]
    if at_chance:
        figures.append(f"AUC is not above chance in {' '.join(at_chance)}: there, nothing about meaning can be said.")
    repeats = {row["repeats"] for row in run.rows("grid_groups", condition=run.group)}
    if not repeats or max(repeats) < 2:
        figures.append("One adapter was trained: another seed may differ (`seeds:` in the study).")
    missing = [name for name, table in NEEDED.items() if not run.rows(table)]
    if missing:
        figures.append(f"Not asked: {', '.join(missing)}.")
    figures.append("One model, one task, these texts: another may differ.")
    return "Not more than the following allows.", figures
