"""Concept patching: statistics on planted probabilities, and patches whose outcome is known."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.analyses import Settings, analyse
from babelscope.analyses.concept import SOURCES, TARGETS, patched, sources_of
from babelscope.analyses.word_prompts import (
    beginning_probabilities,
    encode_word_prompt,
    last_states,
    word_beginnings,
)
from babelscope.errors import DataError
from babelscope.interventions.bridge import bridged
from babelscope.interventions.run import run
from babelscope.models import Model, adapted
from babelscope.probes.concept import QUANTITIES, exclusive, patched_tables, trios, unpatched_tables
from babelscope.tasks import Asking, load_task, load_words

LANGUAGES = ["zh", "ja"]
NAMES = [str(i) for i in range(20)]


def planted() -> dict[str, np.ndarray]:
    """[position, source, layer, target, trio, quantity]; in layer 2 the mean brings 0.1 more of A, aligning 0.2."""
    noise = np.random.default_rng(0).uniform(0, 0.1, (2, 2, 2, 2, 20, len(QUANTITIES)))
    noise[:, 1] = noise[:, 0]
    noise[:, 1, 1, :, :, 0] += 0.1
    aligned = noise.copy()
    aligned[:, :, 1, 0, :, 0] += 0.2
    return {"base": noise, "aligned": aligned}


def number(table: pd.DataFrame, column: str, **where: object) -> float:
    (row,) = table[np.logical_and.reduce([table[key] == value for key, value in where.items()])].to_dict("records")
    return float(row[column])


def test_planted_differences_are_found() -> None:
    arrays = planted()
    values, deltas, gains = patched_tables(arrays, LANGUAGES, ["word", "answer"], [1, 2], draws=400)
    where = {"position": "word", "quantity": QUANTITIES[0]}
    mean = pytest.approx(arrays["base"][0, 1, 1, 1, :, 0].mean())
    assert number(values, "value", language="ja", condition="base", layer=2, source="mean", **where) == mean
    assert number(gains, "delta", language="ja", condition="base", layer=2, **where) == pytest.approx(0.1)
    assert number(gains, "p_holm", language="ja", condition="base", layer=2, **where) < 0.05
    assert number(gains, "p_value", language="all", condition="base", layer=1, **where) == 1
    assert number(deltas, "delta", language="zh", layer=2, source="single", **where) == pytest.approx(0.2)
    assert number(deltas, "delta", language="all", layer=2, source="single", **where) == pytest.approx(0.1)
    assert number(deltas, "p_value", language="ja", layer=2, source="single", **where) == 1


def test_unpatched_rows_are_means_over_trios() -> None:
    arrays = {name: array[0, 0, 0] for name, array in planted().items()}
    values, deltas = unpatched_tables(arrays, LANGUAGES, draws=50)
    assert number(values, "value", language="zh", condition="base", quantity=QUANTITIES[1]) == pytest.approx(
        arrays["base"][0, :, 1].mean()
    )
    assert set(deltas["delta"]) == {0}


def test_every_concept_has_each_part_once() -> None:
    drawn = trios(NAMES, 8, 0)
    for part in ("source", "target", "other"):
        assert len({getattr(trio, part) for trio in drawn}) == 8
    assert all(len({trio.source, trio.target, trio.other}) == 3 for trio in drawn)
    assert len(trios(NAMES, 99, 0)) == 20
    with pytest.raises(DataError, match="needs three or more"):
        trios(NAMES, 2, 0)


def test_shared_beginnings_count_for_none() -> None:
    assert exclusive([[3, 1, 1], [3, 2], []]) == [[1], [2], []]


def test_no_source_prompt_has_the_language_that_is_asked_for() -> None:
    for code, (given, asked) in TARGETS.items():
        assert code == asked
        assert sources_of(code)[0][1] != given  # what the single source asks for does not stand in the prompt
        assert len(sources_of(code)) > 2
        assert all(code not in pair for pair in sources_of(code))
    assert len({pair[0] for pair in SOURCES}) == len(SOURCES)


def test_the_words_last_token_is_found(tiny: Callable[..., Model]) -> None:
    tokenizer, words = tiny().tokenizer, load_words()
    prompt = encode_word_prompt(tokenizer, words, ("de", "en"), "horse", ["cat"], 0)
    assert tokenizer.decode(prompt.ids[: prompt.word + 1]).endswith('Deutsch: "Pferd')
    assert tokenizer.decode(prompt.ids[prompt.word + 1 :]).endswith('- English: "')


def test_patches_whose_outcome_is_known(tiny: Callable[..., Model]) -> None:
    """Own states change nothing; the last layer's answer is the source's; a word patched in all layers is that word."""
    model, words = tiny("gemma3_text"), load_words()
    layers = range(model.n_layers + 1)
    # The same shots and two words of as many tokens: below the word, the prompts are one.
    own, other = (
        encode_word_prompt(model.tokenizer, words, ("en", "de"), "horse", ["cat"], 0),
        encode_word_prompt(model.tokenizer, words, ("en", "de"), "snail", ["cat"], 0),
    )
    with bridged(model) as engine:

        def states(prompt: object) -> torch.Tensor:
            ends = (prompt.word + 1, len(prompt.ids))
            return torch.cat([last_states(engine, [prompt.ids[:end]]) for end in ends])

        normed = patched(engine, own, torch.stack([states(own), states(other)]), layers)
        swapped = (*own.ids[: own.word], other.ids[other.word], *own.ids[own.word + 1 :])
        whole = last_states(engine, [swapped[: own.word + 1]])
        as_if = patched(engine, own, torch.stack([torch.cat([whole, whole])]), layers)
        plain, source, expected = (run(engine, [ids]).normed[0] for ids in (own.ids, other.ids, swapped))
    ways = normed[1:].view(2, 2, len(layers), -1)
    for way in (normed[0], *ways[:, 0].flatten(0, 1)):
        assert torch.allclose(way, plain, atol=1e-3)
    assert torch.allclose(ways[1, 1, -1], source, atol=1e-3)
    assert not torch.allclose(ways[0, 1, 0], plain, atol=1e-2)
    assert torch.allclose(ways[0, 1, -1], plain, atol=1e-3)  # nobody reads the last layer of a word
    assert torch.allclose(as_if[1], expected, atol=1e-3)


def test_probabilities_are_those_of_the_whole_vocabulary(tiny: Callable[..., Model]) -> None:
    model = tiny("gemma2")
    rows = [model.tokenizer(text)["input_ids"] for text in ("a cat", "one dog more")]
    sets = [*word_beginnings(model.tokenizer, [["hund", "pes"], ["horse"]]), []]
    with bridged(model) as engine:
        found = beginning_probabilities(model, run(engine, rows).normed, sets)
    for row, ids in zip(found, rows, strict=True):
        with torch.inference_mode():
            expected = model.net(torch.tensor([ids])).logits[0, -1].softmax(-1)
        assert row.tolist() == pytest.approx([float(expected[tokens].sum()) for tokens in sets], abs=1e-5)


@pytest.fixture
def caches(tiny: Callable[..., Model], tiny_adapter: Callable[..., Path], tmp_path: Path) -> dict[str, Cache]:
    """Two languages; the caches tell which models are meant."""
    request = Request(load_task("sentiment"), ("en", "de"), Asking(1), limit=2, dtype="float32")
    base = tiny()
    write_cache(base, request, tmp_path / "base.h5")
    with adapted(base, tiny_adapter()) as model:
        write_cache(model, request, tmp_path / "aligned.h5")
    return {name: Cache(tmp_path / f"{name}.h5") for name in ("base", "aligned")}


def test_tables_from_caches(caches: dict[str, Cache]) -> None:
    tables = analyse("concept", caches, Settings(draws=20, limit=3, layers=(0, 3)))
    values = tables["concept_patching"]
    assert len(values) == 5 * 2 * 2 * 2 * 2 * len(QUANTITIES)  # language, condition, position, layer, source
    assert values["value"].between(0, 1).all()
    untouched = values[(values["position"] == "word") & (values["layer"] == 3) & (values["source"] == "mean")]
    keys = ["language", "condition", "quantity"]
    merged = untouched.merge(tables["concept_unpatched"], on=keys, suffixes=("", "_plain"))
    np.testing.assert_allclose(merged["value"], merged["value_plain"], atol=1e-5)
    alone = analyse("concept", {"base": caches["base"]}, Settings(draws=20, limit=3, layers=(3,)))
    assert set(alone) == {"concept_patching", "concept_patching_gain", "concept_unpatched"}
