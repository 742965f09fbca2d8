"""In which layers did alignment move, by which measures, and where do they disagree?"""

from collections.abc import Sequence
from dataclasses import dataclass

from .associations import associations
from .run import Row, Run, Said
from .wording import by, change, in_layers, sure, unknown

# Of the measures of alignment, those that are smaller where languages are more alike, and those of one language alone.
DISTANCES, OF_ONE = ("centroid_distance",), ("anisotropy",)


def alignment_moved(run: Run) -> Said:
    rows = [row for row in run.rows("alignment_mean_delta") if row["quantity"] not in OF_ONE]
    if not rows:
        return unknown("alignment"), ()
    by_measure = by(rows, "position", "quantity")
    figures = [
        f"{quantity} at {position}: {'; '.join(ways)}."
        for (position, quantity), own in by_measure.items()
        if (ways := _ways(own))
    ]
    if not figures:
        answer = f"No evidence that any of {len(by_measure)} measures moved in any layer, after Holm over layers."
        return answer, associations(run)
    looked_at = f"{len(by_measure)} measures and positions were looked at"
    figures.append(f"{looked_at}, each corrected over layers: by chance one in 20 moves.")
    figures += associations(run)
    positions = {position: _agreement(own) for (position,), own in by(rows, "position").items()}
    if not any(found.more or found.less for found in positions.values()):
        return "No evidence that languages became more or less alike: no half of the measures agree on it.", figures
    return " ".join(found.said(position) for position, found in positions.items()), figures


@dataclass(frozen=True)
class _Agreement:
    """The layers in which at least half of the measures say the same and none the opposite, and where they disagree."""

    measures: set[str]
    more: list[int]
    less: list[int]
    torn: list[int]

    def said(self, position: str) -> str:
        likeness = {"more": self.more, "less": self.less}
        ways = [f"{name} alike in {in_layers(layers)}" for name, layers in likeness.items() if layers]
        of = f"half or more of {len(self.measures)} measures" if len(self.measures) > 1 else next(iter(self.measures))
        disagreement = f"; measures disagree in {in_layers(self.torn)}" if self.torn else ""
        moved = " and ".join(ways) or "neither more nor less alike in any layer"
        return f"By {of}, languages at {position} became {moved}{disagreement}."


def _agreement(rows: Sequence[Row]) -> _Agreement:
    found = _Agreement({row["quantity"] for row in rows}, [], [], [])
    for (layer,), own in by(rows, "layer").items():
        nearer = [(row["delta"] > 0) != (row["quantity"] in DISTANCES) for row in own if sure(row, "p_holm")]
        if any(nearer) and not all(nearer):
            found.torn.append(layer)
        elif nearer and len(nearer) >= len(found.measures) / 2:
            (found.more if all(nearer) else found.less).append(layer)
    return found


def _ways(rows: Sequence[Row]) -> list[str]:
    """In which layers a measure rose and fell for sure, and by how much at most."""
    ways = []
    for way, sign in (("rose", 1), ("fell", -1)):
        if clear := [row for row in rows if sure(row, "p_holm") and sign * row["delta"] > 0]:
            top = max(clear, key=lambda row: abs(row["delta"]))
            most = f", most in layer {top['layer']}" if len(clear) > 1 else ""
            ways.append(f"{way} in {in_layers([row['layer'] for row in clear])}{most}: {change(top)}")
    return ways
