"""Transplants: tables on planted answers, and an adapter that changes one block, which must be found."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.capture import capture
from babelscope.activations.store import Cache
from babelscope.analyses import Settings, analyse
from babelscope.errors import DataError, UsageError
from babelscope.interventions.adapter_blocks import adapter_in
from babelscope.models import Model, adapted
from babelscope.probes.transplant import Run, transplant_tables
from babelscope.tasks import Asking, few_shot_prompts, load_task

TRUTH = np.array([[0, 1] * 10, [0, 1] * 10])


def said(labels: np.ndarray) -> np.ndarray:
    """Log-probabilities [..., 2] of a model that says `labels`, more surely of later questions."""
    sure = np.linspace(1, 2, labels.shape[-1])[..., None]
    return np.where(np.arange(2) == labels[..., None], -np.log1p(np.exp(-sure)), -np.log1p(np.exp(sure)))


def test_a_planted_gain_is_found_where_it_begins() -> None:
    base = said(np.where(np.arange(20) < 10, 1 - TRUTH, TRUTH))
    aligned = said(TRUTH)
    runs = [Run("adapter_up_to", 3, "1-3", base), Run("adapter_up_to", 6, "1-6", aligned)]
    references = {"adapter_up_to": {"base": base, "aligned": aligned}}
    values, deltas = transplant_tables(runs, references, TRUTH, ["de", "sw"], "aligned", draws=300)
    accuracy = values[values["quantity"] == "accuracy"].set_index(["language", "layer"])["value"]
    assert accuracy["all", 3] == 0.5
    assert accuracy["all", 6] == accuracy["sw", 6] == 1
    rows = deltas[(deltas["quantity"] == "accuracy")].set_index(["language", "layer", "against"])
    assert rows.loc[("de", 3, "base"), "delta"] == 0
    assert rows.loc[("de", 3, "aligned"), "delta"] == rows.loc[("all", 3, "aligned"), "delta"] == -0.5
    assert rows.loc[("de", 3, "aligned"), "p_holm"] < 0.05
    assert rows.loc[("de", 6, "aligned"), "p_value"] == 1
    with pytest.raises(DataError, match="every kind needs its own"):
        transplant_tables([Run("adapter_only", 3, "1-3", base)], references, TRUTH, ["de", "sw"], "aligned")


def test_an_adapter_acts_in_the_chosen_blocks_alone(
    tiny: Callable[..., Model], tiny_adapter: Callable[..., Path]
) -> None:
    """States leave the base's path where the adapter begins, and come back when it is silent."""
    base = tiny()
    prompts = few_shot_prompts(load_task("sentiment"), "en", Asking(1), 3)
    plain = capture(base, prompts, ["negative", "positive"]).last
    with adapted(base, tiny_adapter()) as model:
        whole = capture(model, prompts, ["negative", "positive"]).last
        with adapter_in(model, []):
            assert np.array_equal(capture(model, prompts, ["negative", "positive"]).last, plain)
        with adapter_in(model, [1, 2]):
            part = capture(model, prompts, ["negative", "positive"]).last
        assert np.array_equal(capture(model, prompts, ["negative", "positive"]).last, whole)
    assert np.array_equal(part[:, :2], plain[:, :2])
    assert not np.allclose(part[:, 2], plain[:, 2], atol=1e-3)
    assert not np.allclose(part[:, 2], whole[:, 2], atol=1e-3)


@pytest.fixture
def caches(tiny: Callable[..., Model], tiny_adapter: Callable[..., Path], tmp_path: Path) -> dict[str, Cache]:
    """Two languages, answers of one token; the adapter changes block 2 of 3 alone."""
    request = Request(load_task("sentiment"), ("en", "de"), Asking(1, words=("x", "y")), limit=6, dtype="float32")
    base = tiny()
    write_cache(base, request, tmp_path / "base.h5")
    with adapted(base, tiny_adapter(blocks=[1])) as model:
        write_cache(model, request, tmp_path / "aligned.h5")
    return {name: Cache(tmp_path / f"{name}.h5") for name in ("base", "aligned")}


def effect(deltas: pd.DataFrame, kind: str, against: str) -> dict[str, float]:
    """Size of the difference in log odds at each depth, over languages."""
    rows = deltas[(deltas["kind"] == kind) & (deltas["against"] == against) & (deltas["quantity"] == "log_odds")]
    rows = rows[rows["language"] != "all"]
    return {int(layer): float(group["delta"].abs().max()) for layer, group in rows.groupby("layer")}


def test_the_block_that_an_adapter_changed_is_found(caches: dict[str, Cache]) -> None:
    deltas = analyse("transplant", caches, Settings(draws=50))["transplant_delta"]
    gain = effect(deltas, "adapter_only", "base")
    assert gain[2] > 1e-3
    assert gain[1] == gain[3] == 0
    assert effect(deltas, "adapter_only", "aligned")[2] < 1e-4
    up_to = effect(deltas, "adapter_up_to", "base")
    assert (up_to[1], up_to[2] > 1e-3) == (0, True)
    into_base = effect(deltas, "state_into_base", "base")
    assert into_base[1] < 1e-4  # nothing has changed below the block
    assert into_base[2] > 1e-3
    assert effect(deltas, "state_into_base", "aligned")[3] < 1e-4  # the last state is the answer
    assert effect(deltas, "state_into_adapted", "base")[3] < 1e-4


def test_a_patched_state_that_is_its_own_changes_nothing(caches: dict[str, Cache]) -> None:
    """Layer 0 at the answer position is the same token in every prompt; the last layer is the donor's whole answer."""
    tables = analyse("repair", caches, Settings(draws=50, layers=(0, 3)))
    values = tables["repair"]
    values = values[(values["quantity"] == "log_odds_gain") & (values["position"] == "last")]
    assert values.loc[values["layer"] == 0, "value"].abs().max() < 1e-4
    assert values.loc[values["layer"] == 3, "value"].abs().min() > 1e-4
    assert set(values["condition"]) == {"base", "aligned"}
    assert set(values["language"]) == {"de", "all"}


def test_what_is_missing_is_named(caches: dict[str, Cache]) -> None:
    with pytest.raises(UsageError, match="needs an adapter's cache beside the base's"):
        analyse("transplant", {"base": caches["base"]}, Settings())
    with pytest.raises(UsageError, match="pivot 'fr'"):
        analyse("repair", caches, Settings(pivot="fr"))
