"""Adapters that learnt nothing, or nothing true, through the whole study: explanations find nothing, having looked."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from babelscope.explaining.answers import Answer
from babelscope.explaining.questions import QUESTIONS, explain
from babelscope.results import read_tables
from babelscope.settings import load_study
from babelscope.study.run import run_study
from babelscope.study.stages import Study

ANSWERS, LOSSES, CONTROL, ALIGNMENT, CAUSE, LIMITS = QUESTIONS
MOVED = ("accuracy_groups", "alignment_mean_delta", "transplant_delta")  # what differs from the base
PLANTED = {"delta": 0.3, "ci_low": 0.2, "ci_high": 0.4, "p_value": 1e-5, "p_holm": 1e-5}

pytestmark = pytest.mark.slow
conditions = pytest.mark.parametrize("condition", ["still", "shuffled"])


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> dict[str, pd.DataFrame]:
    folder = tmp_path_factory.mktemp("nulls")
    recipe = {"epochs": 1, "pairs_per_step": 4}
    adapters = {
        "still": {"pairs": ["zh-en"], "number": 8, "recipe": recipe | {"learning_rate": 0}},
        "shuffled": {"pairs": ["zh-en"], "number": 8, "objective": "shuffle", "recipe": recipe},
    }
    probes = {"names": ["accuracy", "alignment", "repair", "transplant"], "draws": 1000, "layers": [1, 3]}
    settings = {
        "name": "nulls",
        "model": str(tiny_folder("llama")),
        "languages": ["en", "zh", "de", "sw"],
        "limit": 12,
        "shots": 1,
        "dtype": "float32",
        "device": "cpu",
        "adapters": adapters,
        "probes": probes,
    }
    (folder / "nulls.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    run_study(Study(load_study(folder / "nulls.yaml"), folder / "run"))
    return read_tables(folder / "run" / "tables")


def said(tables: dict[str, pd.DataFrame], question: str, condition: str) -> Answer:
    (answer,) = (one for one in explain(tables)[condition] if one.question == question)
    return answer


@conditions
def test_nothing_learnt_is_no_evidence(tables: dict[str, pd.DataFrame], condition: str) -> None:
    assert said(tables, ANSWERS, condition).answer.startswith("No evidence that the answers changed")
    assert said(tables, LOSSES, condition).answer.startswith("No evidence that any")
    assert "has a part" not in said(tables, CONTROL, condition).answer.removeprefix("No evidence that translation ")


@conditions
def test_nothing_learnt_leaves_nothing_to_explain(tables: dict[str, pd.DataFrame], condition: str) -> None:
    answer = said(tables, CAUSE, condition)
    assert answer.answer.endswith("so there is nothing to explain.")
    of_blocks = [figure for figure in answer.figures if "in one group of blocks alone" in figure]
    assert len(of_blocks) == 3
    assert all(figure.startswith("No evidence") for figure in of_blocks)
    assert any("parallel English question" in figure for figure in answer.figures)
    assert sum("the whole adapter moves" in figure for figure in answer.figures) == 2


@conditions
def test_states_that_learnt_nothing_true_are_not_said_to_be_nearer(
    tables: dict[str, pd.DataFrame], condition: str
) -> None:
    """Shuffled pairs move single measures for certain; that they agree on a direction would be a false alarm."""
    assert said(tables, ALIGNMENT, condition).answer.startswith("No evidence that ")


@pytest.mark.parametrize("table", ["alignment_mean_delta", "transplant_delta"])
def test_there_was_something_to_be_taken_for_evidence(tables: dict[str, pd.DataFrame], table: str) -> None:
    """Learning rate 0 leaves every number as it was; shuffled pairs do not, and so noise might have been told."""
    rows = tables[table]
    rows = rows[rows["kind"] == "adapter_only"] if "kind" in rows else rows
    moved = (rows["delta"].abs() > 0).groupby(rows["condition"]).mean()
    assert moved["still"] == 0
    assert moved["shuffled"] > 0.2


@conditions
@pytest.mark.parametrize(("table", "question"), [*zip(MOVED, (ANSWERS, ALIGNMENT, CAUSE), strict=True)])
def test_what_is_planted_in_a_null_is_told(
    tables: dict[str, pd.DataFrame], condition: str, table: str, question: str
) -> None:
    planted = tables[table].copy()
    planted.loc[planted["condition"] == condition, [name for name in PLANTED if name in planted]] = [
        value for name, value in PLANTED.items() if name in planted
    ]
    figures = said(tables | {table: planted}, question, condition).figures
    assert any("+0.300 [+0.200, +0.400]" in one for one in figures if not one.startswith("No evidence"))
    assert figures != said(tables, question, condition).figures
