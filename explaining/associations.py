"""Do languages whose alignment changed more also gain more accuracy, or AUC? By how many correlations, of how many?"""

from collections.abc import Sequence

from .changes import moved
from .control import controls
from .run import Row, Run
from .wording import by, excludes_zero, in_layers, interval, runs

OUTCOMES = {"accuracy": "accuracy", "auc": "AUC"}
BY_CHANCE = 0.05  # of intervals exclude 0 where there is nothing, if each stood for itself


def associations(run: Run) -> list[str]:
    """A sentence per outcome, and what must be known to read them."""
    told = [sentence for outcome, name in OUTCOMES.items() if (sentence := _told(run, outcome, name))]
    if not told:
        return []
    told.append(
        "Layers and measures repeat one another, so that more of them than chance gives may be one accident: compare "
        "with an adapter that learnt no translation."
    )
    found = moved(run)
    if found is not None and not found.discrimination:
        told.append(
            "AUC did not move on the whole: what goes with accuracy goes with the bias for a label, or with noise, and "
            "is no evidence that alignment helps to tell answers apart."
        )
    return told


def _told(run: Run, outcome: str, name: str) -> str | None:
    rows = _correlations(run, run.condition, outcome)
    if not rows:
        return None
    clear = [row for row in rows if excludes_zero(row)]
    count = (
        f"Over {rows[0]['n']} languages, the change of alignment goes with that of {name} in {len(clear)} of "
        f"{len(rows)} correlations (measures, positions, layers; by chance about {BY_CHANCE * len(rows):.0f}"
        f"{_in_controls(run, outcome)})"
    )
    if not clear:
        return f"{count}."
    longest = max(_stretches(clear), key=lambda stretch: (len(stretch), abs(_strongest(stretch)["spearman"])))
    top = _strongest(longest)
    layers = in_layers([row["layer"] for row in longest])
    where = f" in layer {top['layer']}" if len(longest) > 1 else ""
    return (
        f"{count}; the longest stretch is {top['quantity']} at {top['position']}, {layers}: Spearman "
        f"{top['spearman']:+.2f} {interval(top, digits=2)}{where}."
    )


def _in_controls(run: Run, outcome: str) -> str:
    """What is found where no translation was learnt, in the same count."""
    counts = {
        name: sum(map(excludes_zero, _correlations(run, name, outcome)))
        for name in controls(run)
        if name != run.condition and _correlations(run, name, outcome)
    }
    return "".join(f"; {name}, a control: {count}" for name, count in counts.items())


def _correlations(run: Run, condition: str, outcome: str) -> list[Row]:
    """Those over languages, of change with change, that are defined."""
    wanted = {"over": "languages", "of": "change", "against": outcome}
    rows = run.rows("alignment_agreement", condition=condition, **wanted)
    return [row for row in rows if row["ci_low"] <= row["ci_high"]]


def _stretches(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one measure, position and sign in layers that follow one another."""
    signed = [{**row, "positive": row["spearman"] > 0} for row in rows]
    found = []
    for own in by(signed, "quantity", "position", "positive").values():
        at = {row["layer"]: row for row in own}
        found += [[at[layer] for layer in stretch] for stretch in runs(list(at))]
    return found


def _strongest(rows: Sequence[Row]) -> Row:
    return max(rows, key=lambda row: abs(row["spearman"]))
