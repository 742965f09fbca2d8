"""States and scores against Hugging Face and TransformerLens, and against every way of batching them."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from babelscope.activations.capture import Captured, capture
from babelscope.activations.doctor import Finding, _context, difference, examine, merged, quick_checks, require_sound
from babelscope.activations.tokens import (
    EncodedPrompt,
    encode_labels,
    encode_prompts,
    shared_prefix,
    vocabulary_texts,
    word_tokens,
)
from babelscope.errors import CacheError, DataError, ModelError, UsageError
from babelscope.models import FAMILIES, Model, open_model
from babelscope.models.logits import log_normaliser
from babelscope.models.unembedding import open_unembedding
from babelscope.tasks import Asking, Example, Prompt, few_shot_prompts, load_task
from tokenizers import processors

LABELS = ("negative", "positive")


def prompts(code: str = "en", shots: int = 1, n: int = 7) -> list[Prompt]:
    return few_shot_prompts(load_task("sentiment"), code, Asking(shots), n)


def run(model: Model, chosen: list[Prompt], labels: tuple[str, ...] = LABELS, **options: object) -> Captured:
    return capture(model, chosen, labels, **options)  # type: ignore[arg-type]


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def reference(model: Model, prompt: Prompt) -> tuple[torch.Tensor, torch.Tensor]:
    """One prompt through Hugging Face: pre-norm states [layer, token, d_model] and logits of the last token."""
    ids = torch.tensor([model.tokenizer(prompt.full)["input_ids"]])
    before_norm: list[torch.Tensor] = []
    handle = model.final_norm.register_forward_pre_hook(lambda module, args: before_norm.append(args[0]))
    with torch.inference_mode():
        output = model.net(ids, output_hidden_states=True)
    handle.remove()
    return torch.cat([*output.hidden_states[:-1], before_norm[0]]), output.logits[0, -1]


@pytest.mark.parametrize("family", FAMILIES)
def test_states_equal_hugging_face(tiny: Callable[..., Model], family: str) -> None:
    model = tiny(family)
    chosen = prompts()
    captured = run(model, chosen)
    for i, prompt in enumerate(chosen):
        states, _ = reference(model, prompt)
        assert relative(captured.last[i], states[:, -1]) < 1e-5
        encoded = encode_prompts(model.tokenizer, [prompt], None)[0]
        assert relative(captured.mean[i], states[:, encoded.start : encoded.end].mean(1)) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_lens_at_the_last_layer_equals_the_logits(tiny: Callable[..., Model], family: str) -> None:
    model = tiny(family)
    chosen = prompts(n=2)
    last = run(model, chosen).last[:, -1]
    from_files = open_unembedding(model.name, dtype="float32")
    for i, prompt in enumerate(chosen):
        _, logits = reference(model, prompt)
        assert relative(model.unembed(last[i : i + 1])[0], logits) < 1e-5
        assert relative(from_files(last[i : i + 1])[0], logits) < 1e-5


def test_softcap_bounds_the_logits(tiny: Callable[..., Model]) -> None:
    model = tiny("gemma2")
    states = 1e3 * torch.randn(5, model.d_model)
    assert model.softcap == 2.0
    assert model.unembed(states).abs().max() <= 2.0
    assert (model.unembedding(model.final_norm(states)).abs() > 2.0).any()


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma3_text", "mistral", "gpt2"])
def test_states_equal_transformer_lens(tiny: Callable[..., Model], family: str) -> None:
    bridge_module = pytest.importorskip("transformer_lens.model_bridge")
    model = tiny(family, attention="eager")
    prompt = prompts(n=1)
    captured = run(model, prompt)
    bridge = bridge_module.TransformerBridge.boot_transformers(
        model.name, hf_model=model.net, tokenizer=model.tokenizer, dtype=torch.float32, device="cpu"
    )
    ids = torch.tensor([model.tokenizer(prompt[0].full)["input_ids"]])
    with torch.inference_mode():
        _, cache = bridge.run_with_cache(ids)
    for layer in range(model.n_layers):
        # In gemma and friends `resid_post` is the block's output, what we call layer i + 1.
        assert relative(captured.last[0, layer + 1], cache[f"blocks.{layer}.hook_resid_post"][0, -1]) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "options", [{"share_prefix": False}, {"token_budget": 1}, {"token_budget": 100}, {"token_budget": 10**6}]
)
def test_nothing_depends_on_batching(tiny: Callable[..., Model], family: str, options: dict[str, int]) -> None:
    model = tiny(family)
    chosen = prompts(shots=2)
    one, other = run(model, chosen), run(model, chosen, **options)
    assert difference(one, other) < 1e-4
    assert torch.allclose(one.logprob, other.logprob, atol=1e-4)


def test_nothing_depends_on_batch_mates(tiny: Callable[..., Model]) -> None:
    model = tiny("gemma3_text")
    chosen = prompts(n=9)
    together, alone = run(model, chosen), run(model, chosen[4:5])
    assert relative(together.last[4], alone.last[0]) < 1e-4
    assert torch.allclose(together.logprob[4], alone.logprob[0], atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("code", ["en", "zh", "hi"])
def test_label_scores_are_sums_over_the_whole_sequence(tiny: Callable[..., Model], code: str, family: str) -> None:
    """Labels of one, two and many tokens, against a plain forward over prompt + label."""
    model = tiny(family)
    chosen = prompts(code, n=3)
    labels = ("negative", "positive", "x", "पॉज़िटिव")
    captured = run(model, chosen, labels)
    sequences = [model.tokenizer(label, add_special_tokens=False)["input_ids"] for label in labels]
    assert len({len(sequence) for sequence in sequences}) > 1
    for i, prompt in enumerate(chosen):
        ids = model.tokenizer(prompt.full)["input_ids"]
        for k, sequence in enumerate(sequences):
            with torch.inference_mode():
                logprobs = model.net(torch.tensor([[*ids, *sequence]])).logits[0].log_softmax(-1)
            expected = sum(float(logprobs[len(ids) - 1 + n, token]) for n, token in enumerate(sequence))
            assert captured.logprob[i, k] == pytest.approx(expected, abs=1e-4)


def test_prefix_scores_sum_over_the_beginnings_of_a_word(tiny: Callable[..., Model]) -> None:
    """The paper's rule by hand: every token whose text begins the word, from a plain forward."""
    model = tiny("qwen2")
    chosen = prompts(n=3)
    labels = ("negative", "positive")
    captured = run(model, chosen, labels)
    texts = [model.tokenizer.decode([i]).strip().casefold() for i in range(len(model.tokenizer))]
    for i, prompt in enumerate(chosen):
        _, logits = reference(model, prompt)
        shares = logits.softmax(-1)
        for k, label in enumerate(labels):
            begins = [n for n, text in enumerate(texts) if text and label.startswith(text)]
            assert len(begins) > 3
            assert captured.prefix_logprob[i, k].exp() == pytest.approx(float(shares[begins].sum()), rel=1e-3)


def test_normaliser_equals_torch() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        logits = (30 * torch.randn(9, 1000)).to(dtype)
        before = logits.clone()
        torch.testing.assert_close(log_normaliser(logits), logits.float().logsumexp(-1))
        assert torch.equal(logits, before)


def test_labels_that_tokenise_alike_are_refused(tiny: Callable[..., Model]) -> None:
    with pytest.raises(UsageError, match="'p' and 'positive' tokenise alike"):
        run(tiny(), prompts(n=1), ("p", "positive"))


def test_one_bos(tiny: Callable[..., Model]) -> None:
    model = tiny()
    for row in encode_prompts(model.tokenizer, prompts(), None):
        assert row.ids.count(model.tokenizer.bos_token_id) == 1
        assert row.ids[0] == model.tokenizer.bos_token_id


def test_question_span_decodes_to_the_question(tiny: Callable[..., Model]) -> None:
    model = tiny()
    for code in ("en", "zh", "hi"):
        chosen = prompts(code)
        for prompt, row in zip(chosen, encode_prompts(model.tokenizer, chosen, None), strict=True):
            decoded = model.tokenizer.decode(list(row.ids[row.start : row.end]))
            assert prompt.example.text in decoded
            assert len(decoded) <= len(prompt.example.text) + 4


def test_shared_prefix_stops_before_the_question() -> None:
    same = EncodedPrompt(ids=(0, 5, 6, 7, 8), start=3, end=4)
    assert shared_prefix([same, same]) == 3
    assert shared_prefix([same, EncodedPrompt((0, 5, 9, 7, 8), 3, 4)]) == 2


def test_empty_text_and_long_prompts_are_named(tiny: Callable[..., Model]) -> None:
    model = tiny()
    empty = Prompt(Example("e7", "en", "test", " ", "positive"), "", '\nEmotion: "')
    with pytest.raises(DataError, match=r"'e7' in 'en' has empty text"):
        run(model, [empty])
    long = Prompt(Example("e8", "en", "test", "very " * 3000, "positive"), "", '\nEmotion: "')
    with pytest.raises(DataError, match=r"'e8' in 'en' has \d+ tokens, more than the model's context of 20\d\d"):
        run(model, [long])


def test_state_that_is_not_finite_is_named(tiny: Callable[..., Model]) -> None:
    model = tiny()
    model.blocks[1].mlp.down_proj.weight.data[0, 0] = float("nan")  # type: ignore[union-attr, operator, index]
    chosen = prompts(n=2)
    with pytest.raises(CacheError, match=rf"'{chosen[0].example.id}' in 'en', layer 2, is not finite"):
        run(model, chosen)


def test_token_that_is_not_finite_is_named(tiny: Callable[..., Model]) -> None:
    """One token alone has a bad embedding; attention is cut off, so that no other token sees it."""
    model, chosen = tiny(), prompts(n=3)
    for block in model.blocks:
        block.get_parameter("self_attn.o_proj.weight").data.zero_()
    rows = encode_prompts(model.tokenizer, chosen, None)
    others = {token for row in rows[:2] for token in row.ids} | set(rows[2].ids[: rows[2].start])
    place, token = next((i, t) for i, t in enumerate(rows[2].ids[rows[2].start :]) if t not in others)
    model.net.get_input_embeddings().weight.data[token] = float("inf")
    kept = len(rows[2].ids) - rows[2].start
    where = rf"'{chosen[2].example.id}' in 'en', token {place} of {kept} kept, layer 0, is not finite"
    with pytest.raises(CacheError, match=where):
        run(model, chosen, keep=["states/all"])


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "bloom"])
def test_streams_add_up_to_the_residual_stream(tiny: Callable[..., Model], family: str) -> None:
    """What attention and MLP say they add is what the next state has more."""
    keep = [f"{stream}/{position}" for stream in ("states", "attention", "mlp") for position in ("last", "all")]
    arrays = capture(tiny(family), prompts(n=5), LABELS, keep=keep).arrays
    for position in ("last", "all"):
        states, added = arrays[f"states/{position}"], arrays[f"attention/{position}"] + arrays[f"mlp/{position}"]
        assert relative(states[:, 1:] - states[:, :-1], added) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_neurons_are_what_the_mlp_projects_down(tiny: Callable[..., Model], family: str) -> None:
    model = tiny(family)
    module, side = model.points("neurons")[1]
    neurons = capture(model, prompts(n=1), LABELS, keep=["neurons/last"]).arrays["neurons/last"]
    assert (side, neurons.shape) == ("input", (1, model.n_layers, model.d_mlp))
    outputs: list[torch.Tensor] = []
    module.register_forward_hook(lambda module, args, output: outputs.append(output))
    with torch.inference_mode():
        model.body(input_ids=torch.tensor([encode_prompts(model.tokenizer, prompts(n=1), None)[0].ids]))
        assert relative(module(neurons[:, 1]), outputs[0].reshape(-1, model.d_model)[-1:]) < 1e-4


@pytest.mark.parametrize("share_prefix", [True, False])
def test_all_positions_hold_the_question_and_the_answer_position(
    tiny: Callable[..., Model], share_prefix: bool
) -> None:
    model, chosen = tiny("gemma3_text"), prompts(n=7)
    keep = ["states/last", "states/mean", "states/all"]
    captured = capture(model, chosen, LABELS, keep=keep, share_prefix=share_prefix, token_budget=100)
    ends = captured.n_kept.cumsum()
    encoded = encode_prompts(model.tokenizer, chosen, None)
    for i, prompt in enumerate(encoded):
        own = captured.arrays["states/all"][ends[i] - captured.n_kept[i] : ends[i]]
        assert len(own) == len(prompt.ids) - prompt.start
        assert torch.equal(own[-1], captured.last[i])
        assert relative(own[: prompt.end - prompt.start].mean(0), captured.mean[i]) < 1e-5


def test_a_stream_that_a_family_lacks_is_refused(tiny: Callable[..., Model]) -> None:
    with pytest.raises(UsageError, match="'attention' cannot be read"):
        capture(tiny("bloom"), prompts(n=1), LABELS, keep=["attention/last"])


def test_word_tokens_count_for_the_first_set_alone() -> None:
    vocabulary = {"p": [1], "po": [2], "positiv": [3, 4], "positive": [5], "x": [6]}
    assert word_tokens(vocabulary, [["positive"], ["positiv"]]) == [[1, 2, 3, 4, 5], []]
    assert word_tokens(vocabulary, [["positive"], ["xp"]]) == [[1, 2, 3, 4, 5], [6]]
    assert word_tokens(vocabulary, [["positive"], []]) == [[1, 2, 3, 4, 5], []]


def test_vocabulary_texts_cover_the_vocabulary(tiny: Callable[..., Model]) -> None:
    model = tiny()
    texts = vocabulary_texts(model.tokenizer)
    assert sum(map(len, texts.values())) == len(model.tokenizer)


def test_label_tokens_follow_the_quote(tiny: Callable[..., Model]) -> None:
    model = tiny()
    chosen = prompts(n=1)
    encoded = encode_prompts(model.tokenizer, chosen, None)[0]
    for label, sequence in zip(LABELS, encode_labels(model.tokenizer, chosen[0], encoded, LABELS), strict=True):
        assert model.tokenizer.decode([*encoded.ids, *sequence]).endswith(f'"{label}')


def test_bfloat16_scores_are_not_rounded_to_sixteenths(tiny_folder: Callable[[str], Path]) -> None:
    """bfloat16 logits of 16 and more are multiples of 1/8: labels would tie, and ties would go to the first."""
    model = open_model(str(tiny_folder("llama")), dtype="bfloat16", device="cpu")
    with torch.no_grad():
        model.unembedding.weight.mul_(64)
    scores = run(model, prompts(n=30)).logprob
    odds = scores[:, 1] - scores[:, 0]
    assert len(odds.unique()) == 30
    assert (odds * 16 != (odds * 16).round()).any()


def test_label_riding_behind_a_prompt_counts_towards_the_context(tiny: Callable[..., Model]) -> None:
    model = tiny("gpt2")
    prompt = Prompt(Example("e9", "en", "test", "a " * 1000, "positive"), "", '\nEmotion: "')
    spare = model.context_length - len(model.tokenizer(prompt.full)["input_ids"])  # type: ignore[operator]
    exact = replace(prompt, example=replace(prompt.example, text=prompt.example.text + "a " * (spare - 2)))
    assert len(model.tokenizer(exact.full)["input_ids"]) == model.context_length - 2  # type: ignore[operator]
    assert run(model, [exact], ("x", "y")).n_tokens == [model.context_length - 2]  # type: ignore[operator]
    with pytest.raises(DataError, match="more than the model's context"):
        run(model, [exact], ("negative", "a very long label word indeed"))


def test_capture_leaves_inference_mode(tiny: Callable[..., Model]) -> None:
    capture(tiny(), prompts(n=2), LABELS)
    assert not torch.is_inference_mode_enabled()


def test_doctor_passes_on_a_sound_model_and_fails_on_a_broken_one(tiny: Callable[..., Model]) -> None:
    model = tiny("gemma2")
    findings = examine(model, load_task("sentiment"), lambda dtype: tiny("gemma2"))
    assert all(finding.passed for finding in findings)
    assert {"states in bfloat16", "answers in bfloat16"} <= {finding.check for finding in findings}
    # Blocks that see the whole batch break every invariance.
    model.blocks[1].register_forward_hook(lambda block, args, output: output + output.mean())
    findings = examine(model, load_task("sentiment"), lambda dtype: tiny("gpt2"))
    failed = {finding.check for finding in findings if not finding.passed}
    assert {"batch and padding invariance", "states in bfloat16"} <= failed


def test_doctor_names_words_that_collide_and_fails_only_where_they_are_used(tiny: Callable[..., Model]) -> None:
    model = tiny()
    paraphrase = load_task("paraphrase")
    wording = replace(paraphrase.wordings["sw"], label_words={"different": "sawa", "same": "sawa sawa"})
    task = replace(paraphrase, wordings={**paraphrase.wordings, "sw": wording})

    def found(words: str | tuple[str, ...]) -> dict[str, Finding]:
        findings = examine(model, task, lambda dtype: model, words)
        return {f.check.split()[0]: f for f in findings if "label words" in f.check}

    english = found("english")
    assert english["english"].figure == "3 task(s), 20 languages"
    assert english["own"].passed
    assert english["own"].expected == "for information: not the words that are used"
    own = found("own")["own"]
    assert not own.passed
    assert own.figure.startswith("paraphrase in sw: Label words 'sawa' and 'sawa sawa' tokenise alike")
    given = found(("ox", "oxen"))["given"]
    assert not given.passed
    assert given.figure.count("tokenise alike") == 20
    assert found(("ox", "horse"))["given"].passed


def test_doctor_counts_bos_as_the_tokenizer_is_to_add_it(tiny: Callable[..., Model]) -> None:
    model = tiny()  # its own copy of the tokenizer
    bare, backend = processors.TemplateProcessing(single="$A"), model.tokenizer.backend_tokenizer

    def found(chosen: list[Prompt]) -> Finding:
        return next(f for f in quick_checks(model, chosen, LABELS) if f.check == "one BOS")

    assert found(prompts(n=2)).passed
    twice = [replace(p, prefix="<bos>" + p.prefix) for p in prompts(n=2)]
    assert (found(twice).passed, found(twice).figure) == (False, "[2] per prompt")
    backend.post_processor = bare
    assert (found(prompts(n=2)).passed, found(prompts(n=2)).expected) == (True, "none: the tokenizer adds no <bos>")
    model.tokenizer.init_kwargs["add_bos_token"] = True
    assert (found(prompts(n=2)).passed, found(prompts(n=2)).figure) == (False, "[0] per prompt")


def test_doctor_measures_the_longest_prompt_with_all_its_shots(tiny: Callable[..., Model]) -> None:
    model, nli = tiny(), load_task("nli")
    codes = ("en", "zh")
    nli = replace(
        nli, wordings={code: nli.wordings[code] for code in codes}, examples={c: nli.examples[c][:9] for c in codes}
    )
    every = [prompt.full for code in codes for prompt in few_shot_prompts(nli, code, Asking(6))]
    longest = max(
        len(ids) for ids in model.tokenizer([full + label for full in every for label in nli.labels])["input_ids"]
    )
    for room in (longest - 1, longest - 2):  # nothing is read behind the last token
        model.net.config.max_position_embeddings = room
        found = _context(model, nli, "english")
        assert found.passed == (room == longest - 1)
        assert re.fullmatch(rf"up to {longest - 1} tokens, in (en|zh)", found.figure)
        assert found.expected == f"at most {room} with 6 shots"


def test_states_that_cannot_be_trusted_are_not_cached(tiny: Callable[..., Model]) -> None:
    model = tiny()
    require_sound(model, prompts(n=2), LABELS)
    model.blocks[1].register_forward_hook(lambda block, args, output: output + output.mean())
    with pytest.raises(ModelError, match=r"cannot be trusted: batch and padding invariance: .* expected relative"):
        require_sound(model, prompts(n=2), LABELS)


def test_merged_restores_the_adapter(tiny: Callable[..., Model]) -> None:
    from peft import LoraConfig, get_peft_model

    model = tiny()
    get_peft_model(model.net, LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    chosen = prompts(n=3)
    attached = run(model, chosen)
    with merged(model):
        inside = run(model, chosen)
    assert 0 < difference(attached, inside) < 1e-4
    assert difference(attached, run(model, chosen)) < 1e-5
