"""A tuned lens is trained once for the same states, and read back as it was."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.analyses import Settings, analyse
from babelscope.analyses.conditions import Conditions
from babelscope.analyses.lens_store import FILE, load_translators, save_translators
from babelscope.analyses.lens_training import Sample
from babelscope.errors import CacheError
from babelscope.models import Model
from babelscope.probes.tuned_lens import Translator
from babelscope.tasks import Asking, load_task

MODULE = sys.modules["babelscope.analyses.tuned_lens"]  # its function of that name hides it


def test_translators_survive_a_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "lenses" / FILE
    made = {layer: Translator(torch.randn(6, 6), torch.randn(6)) for layer in (12, 0, 3)}
    save_translators(path, made, {"seed": 3, "ids": ["a", "b"]})
    found, record = load_translators(path)
    assert record == {"seed": 3, "ids": ["a", "b"]}
    assert list(found) == [0, 3, 12]
    for layer, translator in found.items():
        assert torch.equal(translator.matrix, made[layer].matrix)
        assert torch.equal(translator.bias, made[layer].bias)


def test_what_is_no_lens_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / FILE
    refusal = r"tuned_lens.safetensors cannot be read as translators of a tuned lens: .*Remove it; `probe tuned-lens`"
    with pytest.raises(CacheError, match=refusal):
        load_translators(path)
    path.write_bytes(b"something else")
    with pytest.raises(CacheError, match=refusal):
        load_translators(path)
    save_file({"matrix.0": torch.zeros(2, 2)}, path)
    with pytest.raises(CacheError, match=refusal):
        load_translators(path)


def test_a_second_run_does_not_train(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Request(load_task("sentiment"), ("en", "zh"), Asking(shots=1), limit=8, dtype="float32")
    write_cache(tiny("gemma3_text"), request, tmp_path / "base.h5")
    caches = {"base": Cache(tmp_path / "base.h5")}
    settings = Settings(draws=50, scratch=tmp_path / ".parts", layers=(1, 2))
    trained: list[int] = []
    train = MODULE.train_translators

    def counted(*args: object) -> dict[int, Translator]:
        trained.append(1)
        return train(*args)  # type: ignore[no-any-return]

    monkeypatch.setattr(MODULE, "train_translators", counted)
    first = analyse("tuned-lens", caches, settings)
    steps: list[tuple[int, int]] = []
    second = analyse(
        "tuned-lens", caches, replace(settings, draws=50), lambda done, total, _=0: steps.append((done, total))
    )
    assert len(trained) == 1
    assert steps[-1][0] == steps[-1][1]
    assert list(first) == list(second)
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name], check_exact=True)
    for others in (replace(settings, seed=1), replace(settings, layers=(2,)), replace(settings, limit=6)):
        analyse("tuned-lens", caches, others)
    assert len(trained) == 4


def test_it_is_trained_at_all_positions_where_they_are_kept(
    tiny: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = ("states/last", "states/mean", "states/all")
    request = Request(load_task("sentiment"), ("en", "zh"), Asking(shots=1), limit=8, dtype="float32", keep=keep)
    write_cache(tiny("gemma3_text"), request, tmp_path / "base.h5")
    cache = Cache(tmp_path / "base.h5")
    conditions = Conditions({"base": cache}, Settings(draws=50, scratch=tmp_path / ".parts", layers=(1, 2)))
    sample = Sample.of(conditions, conditions.rows[:, 5:])
    examples = cache.examples()
    ends = examples["n_kept"].to_numpy().cumsum()
    of_example = np.searchsorted(ends, sample.rows, side="right")
    assert sample.position == "all"
    assert set(of_example) == set(conditions.rows[:, 5:].ravel())
    assert examples["id"].to_numpy()[of_example].tolist() == [conditions.ids[5 + i] for i in sample.ids]
    assert len(sample.rows) == examples["n_kept"].to_numpy()[conditions.rows[:, 5:]].sum()
    lasts = np.isin(sample.rows, ends - 1)
    answers = cache.states("last", 2)[of_example[lasts]]
    assert np.array_equal(sample.states(conditions, 2)[torch.from_numpy(lasts)].numpy(), answers)

    table = analyse("tuned-lens", conditions.caches, conditions.settings)["tuned_lens"]
    _, record = load_translators(tmp_path / "lenses" / FILE)
    assert record["position"] == "all"
    by_lens = table[table["quantity"] == "kl_to_final_bits"].groupby("lens")["value"].mean()
    assert by_lens["tuned"] < by_lens["logit"]

    monkeypatch.setattr("babelscope.analyses.lens_training.TRAINED_ON_TOKENS", 7)
    monkeypatch.setattr("babelscope.analyses.lens_packs.SPAN", 5)  # states are read span by span
    fewer = Sample.of(conditions, conditions.rows)
    assert len(set(fewer.rows)) == len(fewer.rows) == 7
    assert np.array_equal(fewer.states(conditions, 1).numpy(), cache.states("all", 1)[fewer.rows])
