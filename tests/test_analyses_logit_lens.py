"""The lens of many languages at once, packed and in threads, against one prompt after the other, read plainly."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.store import Cache
from babelscope.activations.tokens import vocabulary_texts, word_tokens
from babelscope.analyses import Settings, analyse, lens_packs
from babelscope.models import Model, adapted
from babelscope.tasks import Asking, load_task

MODULE = sys.modules["babelscope.analyses.logit_lens"]  # its function of that name hides it
LANGUAGES = ("zh", "en", "sw", "de", "hi")  # not in the order of anything else
LAYERS = (0, 2, 3)
QUANTITIES = (
    "english_mass",
    "target_mass",
    "entropy_bits",
    "kl_to_final_bits",
    "right_answer_log2_rank",
    "token_energy",
)
NOISE = 1e-4  # float32 in another order, of values that go up to 10


def plain_lens(model: Model, cache: Cache) -> pd.DataFrame:
    """By language, id and layer, from whole forwards of single prompts: the quantities, the likeliest token, its p."""
    net, vocabulary = model.net, vocabulary_texts(model.tokenizer)
    weight = net.lm_head.weight.float()
    unit = torch.nn.functional.normalize(weight * (1 + net.model.norm.weight), dim=1)
    own_energy = (unit @ unit.T).square().mean().sqrt()
    entering_norm: list[torch.Tensor] = []
    hook = net.model.norm.register_forward_pre_hook(lambda _, inputs: entering_norm.append(inputs[0]))
    rows = []
    for prompt in cache.prompts():
        code, answers = prompt.example.language, cache.answer_words[prompt.example.language]
        right = answers[cache.labels.index(prompt.example.label)]
        own = () if code == "en" else tuple(cache.label_words[code].values())
        english, target = word_tokens(vocabulary, [cache.labels, own])
        _, begins_right = word_tokens(vocabulary, [[word for word in answers if word != right], [right]])
        with torch.inference_mode():
            out = net(torch.tensor([model.tokenizer(prompt.full)["input_ids"]]), output_hidden_states=True)
        last = [one[0, -1] for one in (*out.hidden_states[:-1], entering_norm.pop())]  # the last of them is normed
        final = out.logits[0, -1].softmax(-1)
        for layer in LAYERS:
            with torch.inference_mode():
                logits = net.lm_head(net.model.norm(last[layer]))
            entering_norm.clear()
            p = logits.softmax(-1)
            cosines = unit @ torch.nn.functional.normalize(last[layer], dim=0)
            numbers = {
                "english_mass": p[english].sum(),
                "target_mass": p[target].sum(),
                "entropy_bits": -(p * p.log2()).sum(),
                "kl_to_final_bits": (final * (final / p).log2()).sum(),
                "right_answer_log2_rank": (1 + (logits > logits[begins_right].max()).sum()).log2(),
                "token_energy": cosines.square().mean().sqrt() / own_energy,
            }
            found = {name: float(number) for name, number in numbers.items()}
            rows.append({"language": code, "id": prompt.example.id, "layer": layer, **found, "p": p.numpy()})
    hook.remove()
    return pd.DataFrame(rows)


def test_packed_lens_is_that_of_single_prompts(
    tiny: Callable[..., Model],
    tiny_adapter: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = tiny("gemma3_text")
    request = Request(load_task("sentiment"), LANGUAGES, Asking(shots=1), limit=3, dtype="float32")
    write_cache(base, request, tmp_path / "base.h5")
    plain = plain_lens(base, Cache(tmp_path / "base.h5"))
    with adapted(base, tiny_adapter("gemma3_text")) as model:
        write_cache(model, request, tmp_path / "aligned.h5")
    monkeypatch.setattr(lens_packs, "workers", lambda: 6)  # of three packs a condition
    monkeypatch.setattr(MODULE, "token_languages", lambda _, tokens, *__: np.full(len(tokens), -1))  # slow, not asked
    caches = {name: Cache(tmp_path / f"{name}.h5") for name in ("base", "aligned")}
    tables = analyse("logit-lens", caches, Settings(draws=20, layers=LAYERS))
    values = tables["logit_lens"].set_index(["condition", "language", "layer", "quantity"])["value"]
    expected = plain.groupby(["language", "layer"])[list(QUANTITIES)].mean()
    for quantity in QUANTITIES:
        for layer in LAYERS:
            told = [code for code in LANGUAGES if ("base", code, layer, quantity) in values.index]
            found = np.array([values["base", code, layer, quantity] for code in told])
            np.testing.assert_allclose(found, expected[quantity].loc[[(code, layer) for code in told]], atol=NOISE)
    middle = expected.xs(2, level="layer")
    assert (middle["entropy_bits"].sort_values().diff().dropna() > 2 * NOISE).all()  # languages can be told apart
    examples = tables["logit_lens_examples"].query("condition == 'base' and rank == 1")
    one = examples.set_index(["language", "id", "layer"])["probability"]
    for row in plain.itertuples():
        assert one[row.language, row.id, row.layer] == pytest.approx(row.p.max(), abs=NOISE)
    likeliest = tables["logit_lens_tokens"].query("condition == 'base' and rank == 1")
    for row in likeliest.itertuples():
        each = plain.query("language == @row.language and layer == @row.layer")["p"]
        assert row.mean_probability == pytest.approx(np.mean(list(each), axis=0).max(), abs=NOISE)
