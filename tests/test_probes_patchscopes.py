"""Patchscopes: statistics on planted readouts, and readouts whose outcome is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.analyses import Settings, analyse
from babelscope.analyses.patchscopes import PROMPTS, read
from babelscope.analyses.word_prompts import last_states
from babelscope.errors import DataError
from babelscope.interventions.bridge import bridged
from babelscope.interventions.run import run
from babelscope.models import Model
from babelscope.probes.patchscopes import patchscopes_tables, readout
from babelscope.tasks import Asking, load_task


def test_a_word_is_recognised_by_what_its_own_state_adds() -> None:
    """The second word is likely whatever the state is; the third one's state adds nothing."""
    found = readout(np.array([[0.3, 0.6, 0.2], [0.1, 0.7, 0.2], [0.0, 0.5, 0.2]]))
    np.testing.assert_allclose(found[:, 0], [0.3, 0.7, 0.2])
    np.testing.assert_allclose(found[:, 1], [0.05, 0.55, 0.2])
    assert found[:, 2].tolist() == [1, 1, 0]
    with pytest.raises(DataError, match="needs two or more"):
        readout(np.ones((1, 1)))


def test_planted_layers_and_differences_are_found() -> None:
    """In layer 2 of the aligned model, the states of Chinese words alone give their words."""
    base = np.random.default_rng(0).uniform(0, 0.1, (1, 2, 2, 12, 12))
    aligned = base.copy()
    aligned[0, 1, 0] += 0.5 * np.eye(12)
    values, deltas = patchscopes_tables(
        {"base": base, "aligned": aligned}, ["zh", "sw"], ["identity"], [1, 2], "own", draws=400
    )
    assert set(values["word"]) == {"own"}
    keys = ["language", "layer", "quantity"]
    delta = deltas.set_index(keys)["delta"]
    assert delta["zh", 2, "probability"] == pytest.approx(0.5)
    assert delta["all", 2, "probability"] == pytest.approx(0.25)
    assert values[values["condition"] == "aligned"].set_index(keys)["value"]["zh", 2, "recognised"] == 1
    assert set(deltas.loc[deltas["language"] == "sw", "delta"]) == set(deltas.loc[deltas["layer"] == 1, "delta"]) == {0}
    assert delta["zh", 2, "control"] == pytest.approx(0, abs=1e-9)
    assert deltas.set_index(keys)["p_holm"]["zh", 2, "probability"] < 0.05


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "bloom"])
def test_a_prompts_own_state_changes_nothing_and_an_embedding_is_its_token(
    tiny: Callable[..., Model], family: str
) -> None:
    model = tiny(family)
    tokenizer, prompt = model.tokenizer, PROMPTS["identity"]
    ids = tokenizer(prompt)["input_ids"]
    (at,) = [i for i, token in enumerate(ids) if tokenizer.decode([token]).strip() == "?"]
    swapped = [*ids[:at], 40, *ids[at + 1 :]]
    layers = range(model.n_layers + 1)
    with bridged(model) as engine:
        own = last_states(engine, [ids[: at + 1], swapped[: at + 1]])
        found = read(engine, prompt, own, layers).view(len(layers), 2, -1)
        plain, other = (run(engine, [row]).normed[0] for row in (ids, swapped))
    for row in found[:, 0]:
        assert torch.allclose(row, plain, atol=1e-3)
    assert torch.allclose(found[0, 1], other, atol=1e-3)
    assert torch.allclose(found[-1, 1], plain, atol=1e-3)  # nobody reads the last layer of another token
    assert not torch.allclose(found[0, 1], plain, atol=1e-2)


def test_tables_from_a_cache(tiny: Callable[..., Model], tmp_path: Path) -> None:
    request = Request(load_task("sentiment"), ("en", "de"), Asking(1), limit=1, dtype="float32")
    write_cache(tiny(), request, tmp_path / "base.h5")
    tables = analyse("patchscopes", {"base": Cache(tmp_path / "base.h5")}, Settings(draws=20, limit=4, layers=(1, 2)))
    (values,) = tables.values()
    assert set(values.loc[values["word"] == "own", "language"]) == {"en", "de", "all"}
    assert set(values.loc[values["word"] == "english", "language"]) == {"de", "all"}
    assert values["value"].between(0, 1).all()
    assert values.loc[values["quantity"] == "probability", "value"].gt(0).any()
