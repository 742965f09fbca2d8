"""The intervention engine against capture, against itself, and against edits whose outcome is known."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from babelscope.activations.capture import Captured, capture
from babelscope.activations.tokens import encode_labels, encode_prompts
from babelscope.errors import ModelError
from babelscope.interventions.bridge import bridged
from babelscope.interventions.edits import adding, every_token, last_tokens, removing, replacing
from babelscope.interventions.run import hook_name, label_log_probabilities, run
from babelscope.models import FAMILIES, Model, adapted
from babelscope.tasks import Asking, few_shot_prompts, load_task

LABELS = ("negative", "positive", "x")  # of one and of several tokens

Rows = list[tuple[int, ...]]


def prepared(model: Model, n: int = 4, code: str = "en") -> tuple[Rows, list[tuple[int, ...]], Captured]:
    """Token rows, label tokens, and what capture makes of them."""
    prompts = few_shot_prompts(load_task("sentiment"), code, Asking(1), n)
    encoded = encode_prompts(model.tokenizer, prompts, None)
    labels = encode_labels(model.tokenizer, prompts[0], encoded[0], LABELS)
    return [row.ids for row in encoded], labels, capture(model, prompts, LABELS, keep=("states/last", "attention/last"))


def close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return float((found - expected).norm() / expected.norm()) < 1e-4


@pytest.fixture(autouse=True)
def nothing_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """TransformerLens installs packages for some models; here, as in the engine, no process may be started."""

    def refuse(*args: object, **kwargs: object) -> None:
        pytest.fail(f"a process was started: {args}")

    for name in ("check_call", "run", "call", "check_output"):
        monkeypatch.setattr(subprocess, name, refuse)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_edits_it_is_capture(tiny: Callable[..., Model], family: str) -> None:
    model = tiny(family)
    rows, labels, captured = prepared(model)
    with bridged(model) as engine:
        names = [hook_name(layer) for layer in range(model.n_layers + 1)]
        outcome = run(engine, rows, read=[*names, "blocks.1.hook_attn_out"])
        for layer, name in enumerate(names):
            assert close(outcome.read[name], captured.last[:, layer])
        assert torch.allclose(label_log_probabilities(engine, rows, labels), captured.logprob, atol=1e-4)
        short = label_log_probabilities(engine, rows, [(7,), (9,)])
    assert torch.allclose(short, model.logits(outcome.normed).log_softmax(-1)[:, [7, 9]], atol=1e-4)
    assert close(model.logits(outcome.normed), model.unembed(captured.last[:, -1]))


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
@pytest.mark.parametrize("token_budget", [1, 10**6])
def test_an_edit_equals_a_hook_on_hugging_face(tiny: Callable[..., Model], family: str, token_budget: int) -> None:
    """One token in the middle of each row, in rows of different lengths, against plain forwards of single rows."""
    model = tiny(family)
    rows, labels, _ = prepared(model)
    at = [len(row) - 5 - i for i, row in enumerate(rows)]
    vector = torch.randn(model.d_model)
    places = last_tokens([row[: n + 1] for row, n in zip(rows, at, strict=True)])
    with bridged(model) as engine:
        found = label_log_probabilities(engine, rows, labels, [adding(2, places, vector)], token_budget)
    for i, row in enumerate(rows):

        def add(module: torch.nn.Module, args: object, output: object, place: int = at[i]) -> None:
            (output[0] if isinstance(output, tuple) else output)[0, place] += vector

        handle = model.blocks[1].register_forward_hook(add)
        for k, label in enumerate(labels):
            with torch.inference_mode():
                logprobs = model.net(torch.tensor([[*row, *label]])).logits[0].log_softmax(-1)
            expected = sum(float(logprobs[len(row) - 1 + n, token]) for n, token in enumerate(label))
            assert found[i, k] == pytest.approx(expected, abs=1e-3)
        handle.remove()


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "opt"])
def test_replacing_states_by_themselves_or_by_anothers(tiny: Callable[..., Model], family: str) -> None:
    """All layers of a prompt in one call: each is a row of its own, behind what they share."""
    model = tiny(family)
    rows, _, captured = prepared(model)
    layers = range(model.n_layers + 1)
    with bridged(model) as engine:

        def patched(source: int) -> torch.Tensor:
            copies = [rows[0]] * len(layers)
            edits = [replacing(n, last_tokens(copies, [n]), captured.last[[source], n]) for n in layers]
            return run(engine, copies, edits).normed

        itself, others = patched(0), patched(1)
        (own, other) = run(engine, rows[:2]).normed
    for layer in layers:
        assert close(itself[layer], own)
    assert close(others[-1], other)
    assert not close(others[1], own)
    assert not close(others[1], other)  # the rest of the prompt still speaks


def test_what_was_read_before_serves_the_next_call(tiny: Callable[..., Model]) -> None:
    model = tiny("mistral")
    rows, labels, captured = prepared(model)
    with bridged(model) as engine:
        in_turn = [label_log_probabilities(engine, [row], labels)[0] for row in [*rows, *rows]]
    assert torch.allclose(torch.stack(in_turn), torch.cat([captured.logprob] * 2), atol=1e-4)


def test_a_direction_is_removed_from_every_token(tiny: Callable[..., Model]) -> None:
    model = tiny()
    rows, _, _ = prepared(model)
    basis = torch.linalg.qr(torch.randn(model.d_model, 2)).Q.T
    origin = torch.randn(model.d_model)
    with bridged(model) as engine:
        name = hook_name(1)
        for start in (origin, None):
            outcome = run(engine, rows, [removing(1, every_token(rows), basis, start)], [name])
            wanted = torch.zeros(2) if start is None else basis @ start
            assert torch.allclose(outcome.read[name] @ basis.T, wanted.expand(len(rows), 2), atol=1e-4)


def test_the_model_is_as_it_was(tiny: Callable[..., Model], tiny_adapter: Callable[..., Path]) -> None:
    model = tiny()
    modules = {name: id(module) for name, module in model.net.named_modules()}
    rows, labels, before = prepared(model)
    with adapted(model, tiny_adapter()) as aligned:
        _, _, expected = prepared(aligned)
        with bridged(aligned) as engine:
            found = label_log_probabilities(engine, rows, labels)
    assert torch.allclose(found, expected.logprob, atol=1e-4)
    assert not torch.allclose(found, before.logprob, atol=1e-2)
    assert {name: id(module) for name, module in model.net.named_modules()} == modules
    assert torch.equal(prepared(model)[2].last, before.last)


def test_an_architecture_that_transformer_lens_cannot_open_is_named(
    tiny: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny()
    monkeypatch.setattr(model.net.config, "architectures", ["Unheard"])
    with pytest.raises(ModelError, match="cannot be opened with TransformerLens"), bridged(model):
        pass
