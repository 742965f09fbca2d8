"""What a run says is what was planted in its tables; where nothing was, it says so."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from babelscope.answers import Answer
from babelscope.explaining import QUESTIONS, explain
from babelscope.results import explanations
from babelscope.run import run_study
from babelscope.settings import load_study
from babelscope.study import Study

ANSWERS, LOSSES, CONTROL, ALIGNMENT, CAUSE, LIMITS = QUESTIONS


def change(delta: float, half: float, p: float, **values: object) -> dict[str, object]:
    found = {"base": 0.6, "aligned": 0.6 + delta, "delta": delta, "ci_low": delta - half, "ci_high": delta + half}
    return {"condition": "aligned", **found, "p_value": p, "p_holm": p, **values}


def group(quantity: str, delta: float, p: float) -> dict[str, object]:
    return change(delta, 0.02, p, group="untrained", n_languages=3, n_ids=40, quantity=quantity)


def language(code: str, delta: float, p: float, auc_delta: float, auc_p: float) -> dict[str, object]:
    auc = {f"auc_{name}": value for name, value in change(auc_delta, 0.02, auc_p).items() if name != "condition"}
    return change(delta, 0.02, p, language=code, **auc)


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
        change(0.09, 0.02, 0.01, language="all", kind="adapter_only", against="base", quantity="auc", blocks="4-6"),
        change(0.01, 0.02, 0.6, language="all", kind="adapter_only", against="base", quantity="auc", blocks="1-3"),
    ],
    repair_delta=[
        change(0.3, 0.1, 0.01, language="all", quantity="repaired", against="same label", position="last", layer=6)
    ],
)


def test_a_planted_gain_is_told_with_its_layers_its_control_and_its_cost() -> None:
    found = explain(GAIN)
    assert said(found, ANSWERS).answer == "Discrimination rose over 3 unseen languages."
    assert "0.600 to 0.700, +0.100 [+0.080, +0.120]" in said(found, ANSWERS).figures[0]
    assert said(found, LOSSES).answer == "Of 2 languages, lost after Holm: accuracy in 1 and AUC in 0."
    assert said(found, CONTROL).answer.startswith("It is better than copy")
    # What fell at `mean` is a distance.
    assert said(found, ALIGNMENT).answer == (
        "By cka, languages at last became more alike in layers 4-5, 9. "
        "By half or more of 2 measures, languages at mean became more alike in layers 7."
    )
    assert said(found, ALIGNMENT).figures[0].startswith("cka at last: rose in layers 4-5, 9, most in layer 5")
    assert said(found, CAUSE).answer == "The gain is given by the adapter in blocks 4-6 alone."
    assert any("layer 6: +0.300" in figure for figure in said(found, CAUSE).figures)
    limits = " ".join(said(found, LIMITS).figures)
    assert "below about 0.020" in limits
    assert "not above chance in sw" in limits
    assert "Not asked" not in limits
    assert "One adapter was trained" not in limits


def test_a_shifted_bias_is_not_called_discrimination() -> None:
    moved = tables(
        accuracy_groups=[group("auc", 0.01, 0.4), group("accuracy", 0.2, 0.001)],
        accuracy_delta=[language("zh", 0.2, 0.01, 0.01, 0.6)],
        alignment_mean_delta=GAIN["alignment_mean_delta"].to_dict("records"),
        transplant_delta=GAIN["transplant_delta"].to_dict("records"),
    )
    found = explain(moved)
    assert said(found, ANSWERS).answer.startswith("Calibration changed")
    assert said(found, CAUSE).answer.startswith("No evidence of a gain in discrimination")


def test_what_was_not_asked_is_unknown() -> None:
    found = explain(tables(alignment_mean_delta=[change(0.0, 0.1, 1.0, position="last", quantity="cka", layer=1)]))
    assert said(found, ANSWERS).answer.startswith("Unknown: run `babelscope probe accuracy`")
    assert said(found, CONTROL).answer.startswith("Unknown: no adapter was trained on the same questions")
    assert said(found, ALIGNMENT).answer.startswith("No evidence that any of 1 measures moved")
    assert "Not asked: accuracy, transplant, repair." in said(found, LIMITS).figures
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
    rows = [
        change(0.3, 0.1, 0.01, language="all", quantity="repaired", against="same label", position="last", layer=i)
        for i in range(12)
    ]
    found = explain(GAIN | tables(repair_delta=rows))
    assert any(figure.startswith("No evidence that states of the parallel") for figure in said(found, CAUSE).figures)


def test_without_transplants_nothing_is_said_of_blocks() -> None:
    missing = {name: table for name, table in GAIN.items() if name != "transplant_delta"}
    assert said(explain(missing), CAUSE).answer.startswith("Unknown: run `babelscope probe transplant`")


@pytest.fixture(scope="module")
def nulls(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> dict[str, list[Answer]]:
    """Explanations of a study in which there is nothing to find."""
    folder = tmp_path_factory.mktemp("nulls")
    recipe = {"epochs": 1, "pairs_per_step": 4}
    adapters = {
        "still": {"pairs": ["zh-en"], "number": 8, "recipe": recipe | {"learning_rate": 0}},
        "shuffled": {"pairs": ["zh-en"], "number": 8, "objective": "shuffle", "recipe": recipe},
    }
    settings = {
        "name": "nulls",
        "model": str(tiny_folder("llama")),
        "languages": ["en", "zh", "de", "sw"],
        "limit": 12,
        "shots": 1,
        "dtype": "float32",
        "device": "cpu",
        "adapters": adapters,
        "probes": {"names": ["accuracy", "alignment"], "draws": 200, "layers": [1, 3]},
    }
    (folder / "nulls.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    run_study(Study(load_study(folder / "nulls.yaml"), folder / "run"))
    return explanations(folder / "run")


@pytest.mark.slow
@pytest.mark.parametrize("condition", ["still", "shuffled"])
def test_nothing_learnt_is_no_evidence(nulls: dict[str, list[Answer]], condition: str) -> None:
    assert said(nulls, ANSWERS, condition).answer.startswith("No evidence that the answers changed")
    assert said(nulls, LOSSES, condition).answer.startswith("No evidence that any")
    assert "has a part" not in said(nulls, CONTROL, condition).answer.removeprefix("No evidence that translation ")


@pytest.mark.slow
def test_what_did_not_move_is_not_said_to_have_moved(nulls: dict[str, list[Answer]]) -> None:
    assert said(nulls, ALIGNMENT, "still").answer.startswith("No evidence that any")
