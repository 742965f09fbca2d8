"""Neurons of tiny models: counted as a naive reading of the weights counts them; planted ones serve one language."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from babelscope.activations.neurons import count_active, silenced
from babelscope.activations.surprisal import bits, encode_texts
from babelscope.errors import DataError
from babelscope.models import FAMILIES, Model
from babelscope.probes.neurons import language_neurons
from torch.nn import functional

TEXTS = ["The room was quiet and clean.", "房间很安静。", "Das Essen war kalt, und niemand kam zu uns an den Tisch."]

# Family -> the part of the first block's MLP whose sign is the activation's, from the MLP's own input.
GATES: dict[str, Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]] = {
    "llama": lambda mlp, x: mlp.gate_proj(x),
    "gemma3_text": lambda mlp, x: mlp.gate_proj(x),
    "phi3": lambda mlp, x: mlp.gate_up_proj(x).chunk(2, dim=-1)[0],
    "gpt2": lambda mlp, x: mlp.c_fc(x),
    "bloom": lambda mlp, x: mlp.dense_h_to_4h(x),
    "gpt_neox": lambda mlp, x: mlp.dense_h_to_4h(x),
}


@pytest.mark.parametrize("family", GATES)
def test_counts_are_those_of_the_gate(family: str, tiny: Callable[..., Model]) -> None:
    model = tiny(family)
    rows = encode_texts(model.tokenizer, TEXTS).rows
    expected = np.zeros((model.n_layers, model.d_mlp), dtype=int)
    for row in rows:  # one at a time: nothing is padded
        for layer, block in enumerate(model.blocks):
            mlp, seen = block.get_submodule("mlp"), []
            handle = mlp.register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
            with torch.no_grad():
                model.net(torch.tensor([row]))
                expected[layer] += (GATES[family](mlp, seen[0])[0, 1:] > 0).sum(0).numpy()  # without BOS
            handle.remove()
    for budget in (1, 2048):
        np.testing.assert_array_equal(count_active(model, rows, budget), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_silence_reaches_every_family(family: str, tiny: Callable[..., Model]) -> None:
    model = tiny(family)
    rows = encode_texts(model.tokenizer, TEXTS).rows
    whole = bits(model, rows)
    everything = np.ones((model.n_layers, model.d_mlp), dtype=bool)
    entering: list[torch.Tensor] = []
    with silenced(model, everything):
        handles = [
            module.register_forward_pre_hook(lambda module, args: entering.append(args[0]))
            for module, _ in model.points("neurons")
        ]
        mute = bits(model, rows)
        for handle in handles:
            handle.remove()
    assert entering
    assert all((x == 0).all() for x in entering)
    assert (np.abs(mute - whole) > 1e-3).all()
    with silenced(model, ~everything):
        np.testing.assert_array_equal(bits(model, rows), whole)
    np.testing.assert_array_equal(bits(model, rows), whole)


@pytest.mark.parametrize("family", ["llama", "gemma2", "gpt2"])
def test_bits_are_the_cross_entropy(family: str, tiny: Callable[..., Model]) -> None:
    model = tiny(family)
    encoded = encode_texts(model.tokenizer, TEXTS)
    expected = []
    for row in encoded.rows:
        with torch.no_grad():
            logits = model.net(torch.tensor([row])).logits[0]
        expected.append(functional.cross_entropy(logits[:-1], torch.tensor(row[1:]), reduction="sum") / np.log(2))
    for budget in (1, 2048):
        np.testing.assert_allclose(bits(model, encoded.rows, budget), np.array(expected), rtol=1e-4)
    assert encoded.n_bytes.tolist() == [len(text.encode()) for text in TEXTS]  # behind BOS, all of it is predicted


def test_long_texts_are_cut_and_empty_ones_refused(tiny: Callable[..., Model]) -> None:
    model = tiny("llama")
    (row,), (n_bytes,) = (encoded := encode_texts(model.tokenizer, TEXTS[:1], max_tokens=4)).rows, encoded.n_bytes
    assert len(row) == 4
    assert n_bytes == len(model.tokenizer.decode(row[1:]).encode())
    with pytest.raises(DataError, match="is too short: expected at least two tokens"):
        encode_texts(model.tokenizer, [""])


def plant(model: Model, alphabets: list[list[int]]) -> None:
    """Make each alphabet's tokens excite one neuron of the second block, which makes that alphabet likelier next.

    The other blocks add nothing; other neurons of the block react to noise, which is the same in both alphabets.
    """
    torch.manual_seed(0)
    with torch.no_grad():
        for block in model.blocks:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
            block.post_attention_layernorm.weight.fill_(1)
            for projection in (block.mlp.gate_proj, block.mlp.up_proj):  # read what both alphabets have alike
                projection.weight.zero_()[:, 16:].normal_()
        model.final_norm.weight.fill_(1)
        noise = torch.randn(len(alphabets[0]), 16)
        embedding = model.body.embed_tokens.weight.zero_()
        model.unembedding.weight.zero_()
        mlp = model.blocks[1].mlp
        for k, alphabet in enumerate(alphabets):
            embedding[alphabet, k] = 3
            embedding[alphabet, 16:] = noise
            model.unembedding.weight[alphabet, 4 + k] = 1
            mlp.gate_proj.weight[k] = mlp.up_proj.weight[k] = 4 * torch.eye(model.d_model)[k]
            mlp.gate_proj.weight[k, 1 - k] = -4
            mlp.down_proj.weight[4 + k, k] = 1


def test_planted_neurons_are_found_and_serve_their_language_alone(tiny: Callable[..., Model]) -> None:
    model = tiny("llama")
    alphabets = [list(range(10, 30)), list(range(30, 50))]
    plant(model, alphabets)
    draw = np.random.default_rng(0)
    rows = [[(0, *draw.choice(alphabet, 30).tolist()) for _ in range(12)] for alphabet in alphabets]
    counts = np.stack([count_active(model, some) for some in rows])
    tokens = np.array([30 * 12] * 2)
    found = language_neurons(counts, tokens, rate=2 / counts[0].size)
    assert np.argwhere(found.active).tolist() == [[0, 1, 0], [1, 1, 1]]  # language, layer, neuron
    whole = np.stack([bits(model, some) for some in rows])
    for language, other in ((0, 1), (1, 0)):
        with silenced(model, found.active[language]):
            cost = np.stack([bits(model, some) for some in rows]) - whole
        assert (cost[language] > 30).all()  # a bit a token
        assert (np.abs(cost[other]) < 1e-3).all()
