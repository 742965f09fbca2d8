"""Is it the translation, or any tuning? Against adapters that were tuned on the same questions, untranslated."""

from .run import Run, Said
from .wording import interval, sure

FEWEST_LANGUAGES = 6  # a bootstrap over fewer cannot have p < 0.05
UNTRANSLATED = ("copied", "shuffled")  # how grids describe what the controls of translation were trained on


def controls(run: Run) -> dict[str, str]:
    """Conditions that learnt no translation, and what they were trained on."""
    trained_on = {row["condition"]: row["train_set"] for row in run.every("grid")}
    return {name: trained for name, trained in trained_on.items() if trained.endswith(UNTRANSLATED)}


def translation_or_tuning(run: Run) -> Said:
    untranslated = controls(run)
    if run.group in untranslated:
        return "It is itself a control: nothing true was translated in its training.", ()
    compared = [
        row
        for row in run.rows("grid_groups", condition=run.group, quantity="auc")
        if row["against"] in untranslated and row["group"] in ("unseen", "all")
    ]
    by_control = {row["against"]: row for row in sorted(compared, key=lambda row: row["group"])}  # unseen over all
    if not by_control:
        return (
            "Unknown: no adapter was trained on the same questions without their translations. Add one with "
            "`objective: copy`, and one with `objective: shuffle`, to the study.",
            (),
        )
    figures = [
        f"AUC against {name} ({untranslated[name]}) over {row['n_languages']} {row['group']} languages: "
        f"{row['delta']:+.3f} {interval(row)}."
        for name, row in by_control.items()
    ]
    if min(row["n_languages"] for row in by_control.values()) < FEWEST_LANGUAGES:
        return f"Unknown: fewer than {FEWEST_LANGUAGES} languages are too few to tell.", figures
    better = [name for name, row in by_control.items() if sure(row) and row["delta"] > 0]
    if len(better) == len(by_control):
        return f"It is better than {' and '.join(better)}, so translation has a part in it.", figures
    others = [name for name in by_control if name not in better]
    return f"No evidence that translation has a part in it: not better than {' and '.join(others)}.", figures
