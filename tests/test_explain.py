"""What a run says is what was planted in its tables; where nothing was, it says so."""

import pandas as pd
from babelscope.explaining.answers import Answer
from babelscope.explaining.limits import NEEDED
from babelscope.explaining.questions import QUESTIONS, explain

ANSWERS, LOSSES, CONTROL, ALIGNMENT, CAUSE, LIMITS = QUESTIONS


def change(delta: float, half: float, p: float, **values: object) -> dict[str, object]:
    found = {"base": 0.6, "aligned": 0.6 + delta, "delta": delta, "ci_low": delta - half, "ci_high": delta + half}
    return {"condition": "aligned", **found, "p_value": p, "p_holm": p, **values}


def group(quantity: str, delta: float, p: float) -> dict[str, object]:
    return change(delta, 0.02, p, group="untrained", n_languages=3, n_ids=40, quantity=quantity)


def language(code: str, delta: float, p: float, auc_delta: float, auc_p: float) -> dict[str, object]:
    auc = {f"auc_{name}": value for name, value in change(auc_delta, 0.02, auc_p).items() if name != "condition"}
    return change(delta, 0.02, p, language=code, **auc)


def blocks(kind: str, quantity: str, where: str, delta: float, p: float, code: str = "all") -> dict[str, object]:
    row = change(delta, 0.02, p, language=code, kind=kind, against="base", quantity=quantity, blocks=where)
    return {**row, "layer": int(where.split("-")[1]), "reference": row["base"], "value": row["aligned"]}


def repaired(layer: int, p: float = 0.01) -> dict[str, object]:
    row = change(0.3, 0.1, p, language="all", quantity="repaired", against="same label", position="last", layer=layer)
    return {**row, "control": row["base"], "parallel": row["aligned"]}


def together(layer: int, rho: float, against: str, condition: str = "aligned") -> dict[str, object]:
    """A correlation over languages of how a measure changed with how an outcome did; 0.4 to each side of it."""
    told = {"condition": condition, "layer": layer, "position": "mean", "quantity": "cka", "n": 20}
    numbers = {"spearman": rho, "ci_low": rho - 0.4, "ci_high": rho + 0.4}
    return told | {"over": "languages", "of": "change", "against": against} | numbers


def tables(**rows: list[dict[str, object]]) -> dict[str, pd.DataFrame]:
    return {name: pd.DataFrame(own) for name, own in rows.items()}


def said(found: dict[str, list[Answer]], question: str, condition: str = "aligned") -> Answer:
    (answer,) = (one for one in found[condition] if one.question == question)
    return answer


GAIN = tables(
    accuracy_groups=[group("auc", 0.1, 0.001), group("accuracy", 0.08, 0.001)],
    accuracy_delta=[language("zh", 0.2, 0.01, 0.1, 0.01), language("sw", -0.1, 0.01, -0.05, 0.4)],
    accuracy=[
        {"condition": "aligned", "language": "zh", "auc_ci_low": 0.7},
        {"condition": "aligned", "language": "sw", "auc_ci_low": 0.48},
    ],
    grid=[{"condition": "aligned", "train_set": "zh to en"}, {"condition": "copy", "train_set": "zh copied"}],
    grid_groups=[
        change(0.05, 0.02, 0.01, against="copy", group="unseen", quantity="auc", n_languages=9, repeats=3),
        change(0.1, 0.02, 0.01, against="base", group="unseen", quantity="auc", n_languages=9, repeats=3),
    ],
    alignment_mean_delta=[
        change(0.03, 0.01, 0.01, position="last", quantity="cka", layer=4),
        change(0.05, 0.01, 0.01, position="last", quantity="cka", layer=5),
        change(0.02, 0.01, 0.02, position="last", quantity="cka", layer=9),
        change(0.01, 0.02, 0.5, position="mean", quantity="cka", layer=5),
        change(-0.2, 0.01, 0.01, position="mean", quantity="centroid_distance", layer=7),
    ],
    transplant_delta=[
        blocks("adapter_only", "auc", "4-6", 0.09, 0.01),
        blocks("adapter_only", "auc", "1-3", 0.01, 0.6),
        blocks("adapter_up_to", "auc", "1-6", 0.1, 0.01),
        blocks("adapter_up_to", "auc", "1-9", 0.12, 0.01),
    ],
    repair_delta=[repaired(6)],
    attribution_delta=[
        change(0.05, 0.01, 0.01, language="all", kind="attention", layer=7),
        change(0.9, 0.01, 0.01, language="all", kind="head", layer=7),  # a part of attention: not another test
        change(0.01, 0.02, 0.4, language="all", kind="mlp", layer=7),
    ],
    subspace_change=[
        change(-0.03, 0.04, 0.3, language="all", edit="remove", quantity="auc", position="last", layer=7),
        change(-0.9, 0.04, 0.001, language="all", edit="remove random", quantity="auc", position="last", layer=7),
    ],
    concept_patching_delta=[
        change(
            -0.04, 0.01, 0.01, language="all", position="word", source="mean", layer=12,
            quantity="source_concept_target_language",
        )
    ],
    patchscopes_delta=[
        change(0.02, 0.01, 0.01, language="all", word="english", quantity="probability", prompt="identity", layer=5)
    ],
    neurons_selectivity_delta=[
        change(0.2, 0.1, 0.01, language="bg", quantity="own_less_random"),
        change(0.1, 0.1, 0.04, language="zh", quantity="own_less_random"),
    ],
)  # fmt: skip


def test_a_planted_gain_is_told_with_its_layers_its_control_and_its_cost() -> None:
    found = explain(GAIN)
    assert said(found, ANSWERS).answer == "Discrimination rose over 3 unseen languages."
    assert "0.600 to 0.700, +0.100 [+0.080, +0.120]" in said(found, ANSWERS).figures[0]
    assert said(found, LOSSES).answer == "Of 2 languages, lost after Holm: accuracy in 1 and AUC in 0."
    assert said(found, CONTROL).answer.startswith("It is better than copy")
    # What fell at `mean` is a distance.
    assert said(found, ALIGNMENT).answer == (
        "By cka, languages at last became more alike in layers 4-5, 9. "
        "By half or more of 2 measures, languages at mean became more alike in layer 7."
    )
    assert said(found, ALIGNMENT).figures[0].startswith("cka at last: rose in layers 4-5, 9, most in layer 5")
    assert said(found, CAUSE).answer == "The gain is given by the adapter in blocks 4-6 alone."
    causes = said(found, CAUSE).figures
    for told in (
        "On the questions of the transplant, the whole adapter moves AUC: 0.600 to 0.720, +0.120 [+0.100, +0.140].",
        "differs from the base's in 1 of 2 tests; largest, blocks 4-6: 0.600 to 0.690, +0.090 [+0.070, +0.110].",
        "the same label in 1 of 1 tests; largest, last, layer 6: 0.600 to 0.900, +0.300 [+0.200, +0.400]. This is of",
        "right label's logit differs from the base's in 1 of 2 tests; largest, attention, layer 7: 0.600 to 0.650",
        "No evidence that what removing the directions of language does to AUC differs from what it does in the base",
        "largest, mean source, layer 12: 0.600 to 0.560, -0.040 [-0.050, -0.030].",
        "in 1 of 1 tests; largest, identity prompt, layer 5: 0.600 to 0.620",
        "in 2 of 2 tests; largest, bg: 0.600 to 0.800",
    ):
        assert any(told in figure for figure in causes), told
    assert len(causes) == 8
    limits = " ".join(said(found, LIMITS).figures)
    assert "below about 0.020" in limits
    assert "not above chance in sw" in limits
    assert "Not asked" not in limits
    assert "One adapter was trained" not in limits


def test_a_shifted_bias_is_not_called_discrimination() -> None:
    moved = tables(
        accuracy_groups=[group("auc", 0.01, 0.4), group("accuracy", 0.2, 0.001)],
        accuracy_delta=[language("zh", 0.2, 0.01, 0.01, 0.6)],
        repair_delta=[repaired(6)],
    )
    found = explain(moved)
    assert said(found, ANSWERS).answer.startswith("Calibration changed")
    none = "No evidence of a gain in discrimination over 3 unseen languages, so there is none to explain."
    asked = "Accuracy, which moved on the whole and in zh, is"
    assert said(found, CAUSE).answer.startswith(
        f"{none} {asked} another question. Unknown: run `babelscope probe transplant`"
    )
    moved["transplant_delta"] = pd.DataFrame([blocks("adapter_only", "accuracy", "4-6", 0.2, 0.4)])
    assert said(explain(moved), CAUSE).answer == f"{none} {asked} not seen to be moved by any group of blocks alone."
    moved["transplant_delta"] = pd.DataFrame([blocks("adapter_only", "accuracy", "4-6", 0.2, 0.01)])
    assert said(explain(moved), CAUSE).answer == f"{none} {asked} moved by the adapter in blocks 4-6 alone."
    moved["accuracy_groups"] = pd.DataFrame([group("auc", 0.01, 0.4), group("accuracy", 0.0, 0.9)])
    moved["transplant_delta"] = pd.DataFrame(
        [
            blocks("adapter_only", "accuracy", "4-6", 0.2, 0.01, "zh"),
            blocks("adapter_only", "accuracy", "7-9", -0.2, 0.01, "zh"),  # against what is to be explained
            blocks("adapter_only", "accuracy", "1-3", 0.2, 0.01, "sw"),  # which did not move
        ]
    )
    answer = "Accuracy, which moved in zh, is moved by the adapter in blocks 4-6 alone (zh)."
    assert said(explain(moved), CAUSE).answer == f"{none} {answer}"
    told = "The adapter in blocks 4-6 alone (zh) moves accuracy: 0.600 to 0.800, +0.200 [+0.180, +0.220]."
    assert told in said(explain(moved), CAUSE).figures
    moved["accuracy_delta"] = pd.DataFrame([language("zh", 0.0, 1.0, 0.0, 1.0)])
    unmoved = "No evidence that the answers changed over 3 unseen languages, so there is nothing to explain."
    assert said(explain(moved), CAUSE).answer == unmoved


def test_what_moved_in_other_groups_or_in_single_languages_is_not_hidden() -> None:
    changed = tables(
        accuracy_groups=[
            group("auc", 0.01, 0.4), group("accuracy", 0.0, 0.9),
            group("accuracy", -0.1, 0.01) | {"group": "trained"}, group("auc", 0.1, 0.3) | {"group": "trained"},
        ],
        accuracy_delta=[language("pl", 0.0, 1.0, 0.06, 0.01), language("zh", 0.0, 1.0, 0.0, 1.0)],
    )  # fmt: skip
    answer = said(explain(changed), ANSWERS)
    assert answer.answer == "No evidence that the answers changed over 3 unseen languages, but AUC moved in pl."
    assert answer.figures[2:] == (
        "Accuracy over 3 trained languages: 0.600 to 0.500, -0.100 [-0.120, -0.080].",
        "After Holm, AUC moved in pl: 0.600 to 0.660, +0.060 [+0.040, +0.080].",
    )


def test_how_often_alignment_goes_with_accuracy_is_counted_with_its_controls_and_its_caveat() -> None:
    rows = [together(layer, 0.6 if layer in (2, 3, 4, 9) else 0.1, "accuracy") for layer in range(20)]
    rows += [together(layer, 0.1, "auc") for layer in range(20)]
    rows += [together(layer, -0.6, "accuracy", "copy") for layer in range(7)]
    rows += [together(21, float("nan"), "accuracy")]  # the same everywhere
    agreement = tables(alignment_agreement=rows)
    figures = said(explain(GAIN | agreement), ALIGNMENT).figures
    (accuracy,) = (figure for figure in figures if "with that of accuracy" in figure)
    assert "in 4 of 20 correlations (measures, positions, layers; by chance about 1; copy, a control: 7)" in accuracy
    assert "longest stretch is cka at mean, layers 2-4: Spearman +0.60 [+0.20, +1.00] in layer 2." in accuracy
    assert any("with that of AUC in 0 of 20 correlations" in figure for figure in figures)
    assert not any("AUC did not move" in figure for figure in figures)
    still = [group("auc", 0.0, 0.9), group("accuracy", 0.1, 0.01)]
    unmoved = GAIN | agreement | tables(accuracy_groups=still)
    assert any("is no evidence that alignment helps" in figure for figure in said(explain(unmoved), ALIGNMENT).figures)


def test_what_was_not_asked_is_unknown() -> None:
    found = explain(tables(alignment_mean_delta=[change(0.0, 0.1, 1.0, position="last", quantity="cka", layer=1)]))
    assert said(found, ANSWERS).answer.startswith("Unknown: run `babelscope probe accuracy`")
    assert said(found, CONTROL).answer.startswith("Unknown: no adapter was trained on the same questions")
    assert said(found, ALIGNMENT).answer.startswith("No evidence that any of 1 measures moved")
    not_asked = "accuracy, transplant, repair, attribution, subspace, concept, patchscopes, neurons"
    assert f"Not asked: {not_asked}." in said(found, LIMITS).figures
    assert set(NEEDED.values()) <= set(GAIN)
    assert explain(tables(accuracy=[{"condition": "base", "language": "en"}])) == {}


def test_few_languages_are_too_few_and_controls_are_no_results() -> None:
    grid = GAIN["grid"]
    few = GAIN["grid_groups"].assign(n_languages=5)
    assert said(explain(GAIN | {"grid_groups": few}), CONTROL).answer.startswith("Unknown: fewer than 6 languages")
    copied = grid.assign(train_set="zh copied")
    assert said(explain(GAIN | {"grid": copied}), CONTROL).answer.startswith("It is itself a control")
    answers = grid.assign(train_set=["zh to en", "en answers"])  # better than another kind of tuning proves nothing
    assert said(explain(GAIN | {"grid": answers}), CONTROL).answer.startswith("Unknown: no adapter")


def test_the_largest_of_many_is_corrected_for_all_of_them() -> None:
    """Twelve layers and positions at p = 0.01: one of them would be sure alone."""
    rows = [repaired(layer) for layer in range(12)]
    rows.append(repaired(12, float("nan")))  # no answer was wrong
    found = explain(GAIN | tables(repair_delta=rows))
    assert any("same label in any of 12 tests" in figure for figure in said(found, CAUSE).figures)


def test_without_transplants_nothing_is_said_of_blocks() -> None:
    missing = {name: table for name, table in GAIN.items() if name != "transplant_delta"}
    assert said(explain(missing), CAUSE).answer.startswith("Unknown: run `babelscope probe transplant` on")
    causal = [name for probe, name in NEEDED.items() if probe not in ("accuracy", "alignment")]
    nothing = {name: table for name, table in GAIN.items() if name not in causal}
    assert said(explain(nothing), CAUSE).answer.startswith("Unknown: run `babelscope probe transplant` and")
