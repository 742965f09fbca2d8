"""What carries a change: which blocks give it alone, and what every other causal probe says, a row for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .changes import Moved, moved
from .run import Row, Run, Said
from .wording import adjusted, change, over, sure, unknown

ALONE = {"language": "all", "kind": "adapter_only", "against": "base"}  # the adapter in one group of blocks
TRANSPLANTED = ("reference", "value")  # columns that are compared
QUANTITIES = {"auc": "AUC", "accuracy": "accuracy", "log_odds": "the right label's log odds"}


@dataclass(frozen=True)
class Evidence:
    """What a probe's table has to say: which rows are its tests, and how they are told.

    All tests of a row are corrected together, as the largest of them is the one that is named.
    """

    probe: str
    table: str
    where: Mapping[str, Any]  # column -> its value, or a tuple of several
    what: str  # that the tests are of
    than: str  # what it is compared with
    place: str  # how a test is named, from its columns
    columns: tuple[str, str] = ("base", "aligned")  # what is compared
    note: str = ""  # to be known by whoever reads it

    def told(self, run: Run) -> str | None:
        """One sentence with the largest difference and its interval; None where the probe was not run."""
        rows = adjusted(run.rows(self.table, **self.where))
        if not rows:
            return None
        clear = [row for row in rows if sure(row, "p_holm")]
        top = max(clear or rows, key=lambda row: abs(row["delta"]))
        largest = f"{self.place.format(**top)}: {change(top, of=self.columns)}. {self.note}".rstrip()
        differs = f"{self.what} differs from {self.than}"
        if not clear:
            return f"No evidence that {differs} in any of {len(rows)} tests; largest, {largest}"
        return f"{differs[0].upper()}{differs[1:]} in {len(clear)} of {len(rows)} tests; largest, {largest}"


EVIDENCE = (
    *(
        Evidence(
            probe="transplant",
            table="transplant_delta",
            where=ALONE | {"quantity": quantity},
            what=f"{name} with the adapter in one group of blocks alone",
            than="the base's",
            place="blocks {blocks}",
            columns=TRANSPLANTED,
        )
        for quantity, name in QUANTITIES.items()
    ),
    Evidence(
        probe="repair",
        table="repair_change",
        where={"language": "all", "source": "parallel", "quantity": "repaired"},
        what="the share of wrong answers that states of the parallel English question repair",
        than="the base's",
        place="{position}, layer {layer}",
    ),
    Evidence(
        probe="repair",
        table="repair_delta",
        where={"language": "all", "quantity": "repaired", "against": "same label"},
        what="the share of wrong answers that states of the parallel English question repair",
        than="that of states of another question with the same label",
        place="{position}, layer {layer}",
        columns=("control", "parallel"),
        note="This is of the condition, not of its change.",
    ),
    Evidence(
        probe="attribution",
        table="attribution_delta",
        where={"language": "all", "kind": ("attention", "mlp")},
        what="what a block's attention or MLP writes directly to the right label's logit",
        than="the base's",
        place="{kind}, layer {layer}",
        note="Nothing is changed on the way here: it shows who speaks, and scale alone makes all speak louder.",
    ),
    Evidence(
        probe="subspace",
        table="subspace_change",
        where={"language": "all", "edit": "remove", "quantity": "auc"},
        what="what removing the directions of language does to AUC",
        than="what it does in the base",
        place="{position}, layer {layer}",
    ),
    Evidence(
        probe="concept",
        table="concept_patching_delta",
        where={"language": "all", "position": "word", "quantity": "source_concept_target_language"},
        what="the probability that a concept patched into a word is said in the language asked for",
        than="the base's",
        place="{source} source, layer {layer}",
    ),
    Evidence(
        probe="patchscopes",
        table="patchscopes_delta",
        where={"language": "all", "word": "english", "quantity": "probability"},
        what="the probability of the English word read out of other languages' states",
        than="the base's",
        place="{prompt} prompt, layer {layer}",
        note="The adapted model does the reading, and was trained to say English.",
    ),
    Evidence(
        probe="neurons",
        table="neurons_selectivity_delta",
        where={"quantity": "own_less_random"},
        what="the bits per byte that a language loses without its own neurons, beyond random ones,",
        than="the base's",
        place="{language}",
    ),
)


def change_carried(run: Run) -> Said:
    """By which blocks alone, and what the other causal probes say of it."""
    figures = [told for evidence in EVIDENCE if (told := evidence.told(run))]
    if not figures:
        return unknown("transplant", "repair"), ()
    found = moved(run)
    if found is None:
        return unknown("accuracy"), figures
    answer, carrying = _carried(run, found)
    return answer, [*carrying, *_whole(run), *figures]


def _carried(run: Run, found: Moved) -> Said:
    if found.discrimination:
        return _gain_carried(run, found)
    where = over(found.auc)
    if not found.calibration:
        return f"No evidence that the answers changed {where}, so there is nothing to explain.", ()
    codes = [row["language"] for row in found.shifted]
    overall = {"all": found.accuracy["delta"]} if sure(found.accuracy) else {}
    carrying = _blocks(run, "accuracy", overall | {row["language"]: row["delta"] for row in found.shifted})
    moved_where = " and ".join(["on the whole"] * bool(overall) + [f"in {' '.join(codes)}"] * bool(codes))
    none = f"No evidence of a gain in discrimination {where}, so there is none to explain."
    start = f"{none} Accuracy, which moved {moved_where}, is"
    if carrying is None:
        return f"{start} another question. {unknown('transplant')}", ()
    if not carrying:
        return f"{start} not seen to be moved by any group of blocks alone.", ()
    return f"{start} moved by the adapter in {' and '.join(map(_name, carrying))}.", [
        f"The adapter in {_name(row)} moves accuracy: {change(row, of=TRANSPLANTED)}." for row in carrying
    ]


def _gain_carried(run: Run, found: Moved) -> Said:
    gain = "gain" if found.auc["delta"] > 0 else "loss"
    carrying = _blocks(run, "auc", {"all": found.auc["delta"]})
    if carrying is None:
        return unknown("transplant"), ()
    if not carrying:
        return f"No evidence of where the {gain} comes from: no group of blocks gives it alone.", ()
    return f"The {gain} is given by the adapter in {' and '.join(map(_name, carrying))}.", ()


def _blocks(run: Run, quantity: str, effects: Mapping[str, float]) -> list[Row] | None:
    """Groups of blocks that alone move a quantity the way it moved, in these languages; None where nobody has asked."""
    rows = adjusted(run.rows("transplant_delta", **ALONE | {"language": tuple(effects), "quantity": quantity}))
    if not rows:
        return None
    return [row for row in rows if sure(row, "p_holm") and row["delta"] * effects[row["language"]] > 0]


def _name(row: Row) -> str:
    return f"blocks {row['blocks']} alone" + ("" if row["language"] == "all" else f" ({row['language']})")


def _whole(run: Run) -> list[str]:
    """What there is to find on a transplant's questions, which are fewer than those of accuracy."""
    rows = run.rows(
        "transplant_delta", language="all", kind="adapter_up_to", against="base", quantity=("auc", "accuracy")
    )
    last = max((row["layer"] for row in rows), default=0)
    return [
        f"On the questions of the transplant, the whole adapter moves {QUANTITIES[row['quantity']]}: "
        f"{change(row, of=TRANSPLANTED)}."
        for row in rows
        if row["layer"] == last
    ]
