"""Language neurons: against the published selection written with torch, and planted ones."""

import numpy as np
import pandas as pd
import pytest
import torch
from babelscope.errors import DataError
from babelscope.probes.neuron_ablation import Ablation, ablation_tables, random_neurons
from babelscope.probes.neurons import (
    change_tables,
    halves,
    jaccard,
    language_neurons,
    layer_table,
    neuron_table,
    overlap_table,
)
from babelscope.probes.statistics import holm

LANGUAGES = ["en", "de", "zh", "sw"]
SHAPE = (4, 3, 200)  # language, layer, neuron
TOKENS = np.array([1000, 900, 1100, 800])


def selected(counts: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """LAPE in bits and the selection of Tang et al., in torch: [layer, neuron] and [language, layer, neuron]."""
    p = torch.from_numpy(counts).double().permute(1, 2, 0) / torch.from_numpy(tokens).double()
    lape = torch.distributions.Categorical(probs=p.clamp_min(1e-300)).entropy() / np.log(2)
    bar = torch.kthvalue(p.flatten(), round(p.numel() * 0.95)).values
    ranked = lape.masked_fill((p > bar).sum(-1) == 0, torch.inf).flatten()
    chosen = torch.zeros_like(ranked, dtype=torch.bool)
    chosen[ranked.topk(round(len(ranked) * 0.01), largest=False).indices] = True
    return lape.numpy(), ((p > bar) & chosen.view(lape.shape)[..., None]).permute(2, 0, 1).numpy()


def planted(seed: int = 0, tokens: np.ndarray = TOKENS) -> np.ndarray:
    """Neurons alike in all languages, but for one of German, one of German and Chinese, and one of nothing."""
    draw = np.random.default_rng(seed)
    p = np.broadcast_to(draw.uniform(0.05, 0.5, SHAPE[1:]), SHAPE).copy()
    p[:, 0, 3] = [0.01, 0.9, 0.01, 0.01]
    p[:, 1, 7] = [0.02, 0.8, 0.8, 0.02]
    p[:, 2, 9] = [0, 0.03, 0, 0]  # of the least entropy, but hardly ever active
    return draw.binomial(tokens[:, None, None], p)


def test_selection_is_that_of_the_paper() -> None:
    draw = np.random.default_rng(1)
    counts = draw.binomial(TOKENS[:, None, None], draw.beta(0.3, 1, SHAPE))
    counts[:, 0, 0] = 0  # a dead neuron
    lape, active = selected(counts, TOKENS)
    found = language_neurons(counts, TOKENS)
    alive = counts.sum(0) > 0
    np.testing.assert_allclose(found.lape[alive], lape[alive], atol=1e-9)
    assert active.any()
    assert not active.all(0).any()
    np.testing.assert_array_equal(found.active, active)


def test_planted_neurons_get_their_class_and_languages() -> None:
    found = language_neurons(planted(), TOKENS, rate=2 / 600)
    table = neuron_table(found, LANGUAGES, "base").set_index(["layer", "neuron"])
    assert table["class"].to_dict() == {(1, 3): "specific", (2, 7): "related"}
    assert table["languages"].to_dict() == {(1, 3): "de", (2, 7): "de zh"}
    layers = layer_table(found, LANGUAGES, "base").set_index(["layer", "language", "class"])["neurons"]
    assert layers[2, "all", "related"] == layers[2, "de", "related"] == layers[2, "zh", "related"] == 1
    assert layers[1, "all", "general"] == 199
    assert layers.xs("all", level="language").sum() == 600
    shared = overlap_table(found, LANGUAGES, "base").set_index(["language", "other"])
    assert shared.loc[("de", "zh"), "jaccard"] == 0.5
    assert np.isnan(shared.loc[("en", "sw"), "jaccard"])


def test_a_neuron_of_all_languages_is_general() -> None:
    counts = np.full((2, 1, 100), 10)
    counts[:, 0, 5] = [90, 40]  # the least entropy, above the threshold in both
    assert not language_neurons(counts, np.array([100, 100])).active.any()


def test_halvings_are_complete_and_alternate_first() -> None:
    found = list(halves(4))
    assert found == [((0, 2), (1, 3)), ((0, 1), (2, 3)), ((0, 3), (1, 2))]
    assert list(halves(2)) == [((0,), (1,))]
    assert len(list(halves(8))) == 35


def test_change_is_told_from_noise() -> None:
    tokens = np.tile(TOKENS // 4, (4, 1))
    base = np.stack([planted(seed=fold, tokens=TOKENS // 4) for fold in range(4)])
    base = np.broadcast_to(base[:1], base.shape).copy()  # the same in all folds but for the planted neurons
    same, moved = base.copy(), base.copy()
    moved[:, [0, 1], 0, 3] = moved[:, [1, 0], 0, 3]  # the German neuron is an English one now
    changes, classes = change_tables({"base": base, "same": same, "moved": moved}, tokens, LANGUAGES, rate=2 / 600)
    values = changes.set_index(["condition", "quantity", "language"])["value"]
    assert values["same", "jaccard", "all"] == 1
    assert values["same", "beyond_noise", "de"] == 0
    assert values["moved", "jaccard", "de"] == 0.5
    assert values["moved", "beyond_noise", "de"] == 0.5
    assert values["moved", "base_neurons", "en"] == 0
    assert values["moved", "aligned_neurons", "en"] == 1
    p = changes[changes["quantity"] == "memberships"].set_index("condition")[["value", "p_value"]]
    assert p.loc["same"].tolist() == [1, 1]
    assert p.loc["moved"].tolist() == [0.5, 5 / 8]  # an exchange of one fold of four leaves the sets as they are
    assert changes.loc[changes["quantity"] != "memberships", "p_value"].isna().all()
    moves = classes.set_index(["condition", "comparison", "first", "second"])["neurons"]
    assert moves["moved", "base to aligned", "specific", "specific"] == 1
    assert moves["base", "halves of base", "general", "general"] == 598


def test_the_test_of_change_holds_its_level() -> None:
    """Of models that fire alike, at most one in ten is called changed at p = 1/8 or so; a moved neuron is found."""
    tokens = np.tile(TOKENS // 4, (4, 1))

    def p(moved: bool, seed: int) -> float:
        base, other = (
            np.stack([planted(seed=100 * seed + 10 * condition + fold, tokens=TOKENS // 4) for fold in range(4)])
            for condition in (0, 1)
        )
        if moved:
            other[:, [0, 1], 0, 3] = other[:, [1, 0], 0, 3]
        changes, _ = change_tables({"base": base, "other": other}, tokens, LANGUAGES, rate=10 / 600)
        return float(changes.set_index("quantity")["p_value"]["memberships"])

    alike = np.array([p(False, seed) for seed in range(24)])
    assert (alike <= 1 / 8).mean() <= 0.25
    assert alike.mean() > 0.4
    assert np.mean([p(True, seed) for seed in range(6)]) < alike.mean() - 0.2


def test_what_cannot_be_told_is_an_error() -> None:
    with pytest.raises(DataError, match="at least two languages to tell apart; counts are of 1"):
        language_neurons(planted()[:1], TOKENS[:1])
    with pytest.raises(DataError, match="between 0 and each language's number of tokens"):
        language_neurons(planted(), TOKENS // 100)
    with pytest.raises(DataError, match="an even number of folds; there are 3"):
        change_tables({"base": np.stack([planted()] * 3)}, np.stack([TOKENS] * 3), LANGUAGES)


def test_random_neurons_are_as_many_and_others() -> None:
    mine = np.zeros((2, 10), dtype=bool)
    mine[0, :3] = True
    drawn = random_neurons(mine, 0, "de")
    assert drawn.sum(1).tolist() == [3, 0]
    assert not (drawn & mine).any()
    np.testing.assert_array_equal(drawn, random_neurons(mine, 0, "de"))
    for other in (random_neurons(mine, 0, "zh"), random_neurons(mine, 1, "de")):
        assert (other != drawn).any()
    with pytest.raises(DataError, match="Layer 1 has 6 neurons to match at random, and only 4 others"):
        random_neurons(np.arange(10)[None] < 6, 0, "de")


def test_ablation_tables() -> None:
    draw = np.random.default_rng(0)
    whole = draw.uniform(1, 2, (3, 12))
    cost = np.zeros((3, 3, 12))
    cost[1, 1] = draw.uniform(0.4, 0.6, 12)  # German loses without its neurons, nobody else does
    cost[0] = draw.normal(0, 0.01, (3, 12))
    base = Ablation(whole, whole + cost, whole + 0.01, np.array([5, 7, 0]))
    aligned = Ablation(whole, whole + 2 * cost, whole + 0.01, np.array([5, 7, 0]))
    pairs, selectivity, delta = ablation_tables({"base": base, "aligned": aligned}, LANGUAGES[:3], 500, 0)
    row = pairs.set_index(["condition", "ablated", "language"]).sort_index()
    german = row.loc[("base", "de", "de")]
    assert german["delta"] == pytest.approx(cost[1, 1].mean())
    assert german["neurons"] == 7
    assert german["ci_low"] > 0.4
    assert german["p_holm"] < 0.05
    assert row.loc[("base", "de", "en")]["delta"] == 0
    assert row.loc[("base", "de", "en")]["p_value"] == 1
    assert row.loc[("base", "random", "zh")]["neurons"] == 0
    family = row.loc[("base", "en")]
    np.testing.assert_allclose(family["p_holm"], holm(family["p_value"].to_numpy()))
    value = selectivity.set_index(["condition", "language", "quantity"])["value"]
    assert value["base", "de", "own_less_others"] == pytest.approx(cost[1, 1].mean())
    assert value["base", "de", "own_less_random"] == pytest.approx(cost[1, 1].mean() - 0.01)
    grown = delta.set_index(["language", "quantity"]).loc[("de", "own")]
    assert grown["delta"] == pytest.approx(cost[1, 1].mean())
    assert grown["ci_low"] > 0.4


def test_jaccard() -> None:
    a, b = np.array([True, True, False]), np.array([True, False, False])
    assert jaccard(a, b) == 0.5
    assert pd.isna(jaccard(a & False, b & False))
