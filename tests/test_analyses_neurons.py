"""The analysis of neurons on tiny caches: resumed, sure that a model is like itself, and with one's own texts."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.analyses import Settings, analyse
from babelscope.analyses.conditions import Conditions
from babelscope.analyses.corpus import corpus
from babelscope.errors import DataError, UsageError
from babelscope.models import Model
from babelscope.tasks import Asking, load_task

LANGUAGES = ("en", "zh", "sw")
MODULE = sys.modules["babelscope.analyses.neurons"]  # its function of that name hides it


@pytest.fixture
def cache(tiny: Callable[..., Model], tmp_path: Path) -> Cache:
    request = Request(load_task("sentiment"), LANGUAGES, Asking(shots=1), limit=8, dtype="float32", keep=())
    write_cache(tiny("gemma3_text"), request, tmp_path / "base.h5")
    return Cache(tmp_path / "base.h5")


SETTINGS = Settings(draws=100)


def test_two_runs_of_one_model_differ_in_nothing(cache: Cache) -> None:
    tables = analyse("neurons", {"base": cache, "aligned": cache}, SETTINGS)
    found = tables["neurons"]
    assert len(found)
    assert set(found["class"]) <= {"specific", "related"}
    assert set(found["languages"].str.split().explode()) <= set(LANGUAGES)
    change = tables["neurons_change"]
    assert (change[change["quantity"] == "jaccard"]["value"].dropna() == 1).all()
    assert (change[change["quantity"] == "beyond_noise"]["value"].dropna() == 0).all()
    assert (tables["neurons_selectivity_delta"][["delta", "ci_low", "ci_high"]] == 0).all(axis=None)
    pairs = tables["neurons_ablation"]
    assert len(pairs) == 2 * 3 * 4
    assert np.isfinite(pairs["delta"]).all()
    assert (pairs[pairs["neurons"] == 0]["delta"] == 0).all()


def test_a_run_that_was_killed_goes_on(cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = replace(SETTINGS, scratch=tmp_path / "parts")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(MODULE, "_ablation", killed)
        with pytest.raises(KeyboardInterrupt):
            analyse("neurons", {"base": cache}, settings)
    steps: list[tuple[int, int]] = []
    with monkeypatch.context() as patched:
        patched.setattr(MODULE, "count_active", killed)  # all is counted already
        resumed = analyse("neurons", {"base": cache}, settings, lambda done, total: steps.append((done, total)))
    total = len(steps) - 1
    assert steps == [(done, total) for done in range(total + 1)]
    whole = analyse("neurons", {"base": cache}, SETTINGS)
    assert resumed["neurons_ablation"].equals(whole["neurons_ablation"])
    assert "neurons_selectivity_delta" not in whole


def test_texts_of_ones_own(cache: Cache, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    settings = replace(SETTINGS, corpus=folder)
    with pytest.raises(UsageError, match=r"en.txt cannot be read .*one text a line.*en zh sw"):
        analyse("neurons", {"base": cache}, settings)
    for code in LANGUAGES:
        (folder / f"{code}.txt").write_text(f"{code} one\n\n{code} two\n{code} one\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"en.txt has 2 different texts in 'en', expected at least 3"):
        analyse("neurons", {"base": cache}, settings)
    for code in LANGUAGES:
        (folder / f"{code}.txt").write_text("\n".join(f"{code} {n}" for n in range(5)), encoding="utf-8")
    assert len(analyse("neurons", {"base": cache}, settings)["neurons_ablation"]) == 3 * 4


def test_texts_are_the_questions_once_each(cache: Cache) -> None:
    texts = corpus(Conditions({"base": cache}), most=100)
    assert list(texts) == list(LANGUAGES)
    assert {len(found) for found in texts.values()} == {8}
    assert texts["en"][0] == cache.prompts()[0].example.text
