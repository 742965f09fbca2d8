"""The analysis of alignment on tiny caches: its tables, items with options, few languages."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.analyses import Settings, analyse
from babelscope.models import Model
from babelscope.probes.alignment_measures import measure
from babelscope.tasks import Asking, load_task

LANGUAGES = ("en", "zh", "de", "sw")
TABLES = {"alignment", "alignment_pairs", "alignment_mean", "alignment_matrix", "alignment_agreement"}


@pytest.fixture
def caches(tiny: Callable[..., Model], tmp_path: Path) -> dict[str, Cache]:
    """Paraphrase pairs through one model."""
    request = Request(load_task("paraphrase"), LANGUAGES, Asking(shots=1), limit=6, dtype="float32")
    write_cache(tiny("llama"), request, tmp_path / "base.h5")
    return {"base": Cache(tmp_path / "base.h5")}


def test_tables_on_paraphrases(caches: dict[str, Cache]) -> None:
    tables = analyse("alignment", {**caches, "copy": caches["base"]}, Settings(draws=100, layers=(0, 3)))
    assert set(tables) == TABLES | {"alignment_delta", "alignment_pairs_delta", "alignment_mean_delta"}
    for name in ("alignment_delta", "alignment_pairs_delta", "alignment_mean_delta"):
        assert tables[name]["delta"].dropna().eq(0).all()
    pairs = tables["alignment_pairs"]
    assert set(pairs["language"]) == set(LANGUAGES)
    assert {"dali", "retrieval", "cka"} <= set(pairs["quantity"])
    matrix = tables["alignment_matrix"]
    assert len(matrix) == 2 * 2 * 2 * (2 * 12 + 7 * 6 + 4)  # conditions, layers, positions, rows of the measures
    agreement = tables["alignment_agreement"]
    assert {"accuracy", "auc"} <= set(agreement["against"])
    assert agreement[agreement["over"] == "pairs"]["n"].eq(6).all()


def test_items_are_the_questions_that_share_a_first_sentence(caches: dict[str, Cache]) -> None:
    """Six pairs are three sets, each asked one sentence with its paraphrase and with another."""
    states = caches["base"].states("mean", 3).reshape(4, 6, -1)
    by_hand = measure({"base": states}, LANGUAGES, [[0, 1], [2, 3], [4, 5]])["base"]["dali"].mean(axis=-1)
    table = analyse("alignment", caches, Settings(draws=100, layers=(3,)))["alignment_matrix"]
    rows = table[(table["quantity"] == "dali") & (table["position"] == "mean")]
    found = rows.pivot(index="language_a", columns="language_b", values="value").loc[list(LANGUAGES), list(LANGUAGES)]
    off = ~np.eye(4, dtype=bool)
    np.testing.assert_allclose(found.to_numpy()[off], by_hand[off], atol=1e-5)


def test_two_languages_have_no_agreement(tiny: Callable[..., Model], tmp_path: Path) -> None:
    request = Request(load_task("sentiment"), ("en", "zh"), Asking(shots=1), limit=2, dtype="float32")
    write_cache(tiny("llama"), request, tmp_path / "base.h5")
    tables = analyse("alignment", {"base": Cache(tmp_path / "base.h5")}, Settings(draws=100))
    assert set(tables) == TABLES - {"alignment_agreement"}
    assert "dali" not in set(tables["alignment_matrix"]["quantity"])
