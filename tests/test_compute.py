"""Where a model runs and how its weights are held, as far as it can be told without a GPU."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.utils import send_to_device
from babelscope.activations.capture import capture
from babelscope.activations.gather import at, gathering
from babelscope.errors import ModelError, UsageError
from babelscope.models import Model, open_model
from babelscope.models.compute import PRECISIONS, Compute, choose_compute, quantiser
from babelscope.study.plan import KNOWN, _Measures
from babelscope.tasks import Asking, few_shot_prompts, load_task
from babelscope.training.batches import Batch
from babelscope.training.loop import _summed_loss

GPU = torch.device("cuda", 0)


def test_balanced_states_are_the_plain_ones(tiny: Callable[..., Model], tiny_folder: Callable[[str], Path]) -> None:
    task = load_task("sentiment")
    prompts = few_shot_prompts(task, "zh", Asking(1), 3)
    model = open_model(str(tiny_folder("gemma2")), dtype="float32", device="balanced")
    plain, balanced = (capture(m, prompts, task.labels) for m in (tiny("gemma2"), model))
    assert torch.equal(plain.last, balanced.last)
    assert torch.equal(plain.logprob, balanced.logprob)


def test_weights_that_would_stay_on_disk_are_refused(
    tiny_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.integrations.accelerate.get_max_memory", lambda *args: {"cpu": 200_000})
    with pytest.raises(ModelError, match=r"does not fit on the devices of this machine: \S+ and \d+ other tensors"):
        open_model(str(tiny_folder("llama")), dtype="float32", device="balanced")


def test_balanced_is_for_one_process_of_a_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"one process of a run may be on it.* Use --nproc-per-node 1"):
        choose_compute("balanced", "auto")


def move_inputs(place: torch.device, module: object, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """What accelerate's hook does before each part of a divided model; its own would also place the weights."""
    return send_to_device(args, place), send_to_device(kwargs, place, skip_keys="past_key_values")


def test_tensors_meet_on_one_device_when_layers_lie_on_two(tiny: Callable[..., Model]) -> None:
    """The second device is torch's `meta`: tensors there have no values, and most that mixes devices fails as on GPUs.

    What is computed is checked elsewhere; what can go wrong on several devices is where it is computed.
    """
    model = tiny()
    first, second = torch.device("cpu"), torch.device("meta")
    places = dict.fromkeys(("model.embed_tokens", "model.rotary_emb", "model.layers.0"), first)
    places |= dict.fromkeys(("model.layers.1", "model.layers.2", "model.norm", "lm_head"), second)
    for name, place in places.items():
        module = model.net.get_submodule(name).to(place)
        module.register_forward_pre_hook(partial(move_inputs, place), with_kwargs=True)
    model.blocks[0].self_attn.q_proj.weight.requires_grad_(True)  # something to train
    assert model.device == first
    assert model.devices == {first, second}
    with pytest.raises(RuntimeError, match="device"):  # the devices are kept apart
        model.blocks[0].self_attn.q_proj.weight + model.blocks[2].self_attn.q_proj.weight
    ids, places_of_answers = torch.zeros(2, 9, dtype=torch.long), torch.zeros(3, 2, dtype=torch.long)
    rows = torch.zeros(2, dtype=torch.long)
    with gathering(model, {"states/last": at(rows, rows)}, 2) as found:
        final = model.body(input_ids=ids.to(model.device), use_cache=False).last_hidden_state
    assert [layer.device for layer in found["states/last"]] == [first, first, second, second]
    elsewhere = torch.zeros(2, model.d_model)
    assert model.token_log_probabilities(elsewhere, rows, rows).device == second
    assert model.unembed(final[:, 0]).device == second
    assert _summed_loss(model, Batch(ids, places_of_answers, torch.zeros(3, dtype=torch.long))).device == second


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("int8", {"load_in_8bit": True, "load_in_4bit": False}),
        ("nf4", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}),
    ],
)
def test_what_is_asked_of_bitsandbytes(name: str, expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    compute = Compute(GPU, {"": GPU}, PRECISIONS[name])
    assert compute.precision.dtype == torch.bfloat16
    monkeypatch.setattr("transformers.utils.is_bitsandbytes_available", lambda: False)
    with pytest.raises(UsageError, match=rf"{name}' needs bitsandbytes: pip install 'babelscope\[quantised\]'"):
        quantiser(compute, "lm_head")
    monkeypatch.setattr("transformers.utils.is_bitsandbytes_available", lambda: True)
    monkeypatch.setattr("importlib.metadata.version", lambda package: "0.46.1")
    config = quantiser(compute, "lm_head")
    assert config is not None
    assert config.llm_int8_skip_modules == ["lm_head"]
    assert {key: getattr(config, key) for key in expected} == expected
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(UsageError, match="cannot be divided by FSDP"):
        quantiser(compute, "lm_head")


def test_quantised_models_need_a_gpu(tiny_folder: Callable[[str], Path]) -> None:
    with pytest.raises(UsageError, match=r"'nf4' is computed on CUDA GPUs only, and the model was to run on cpu"):
        open_model(str(tiny_folder("llama")), dtype="nf4", device="cpu")
    with pytest.raises(UsageError, match=r"'int4' is unknown\. Known: auto, float32, bfloat16, int8, nf4"):
        open_model(str(tiny_folder("llama")), dtype="int4", device="cpu")


def test_plans_count_the_bytes_of_quantised_weights() -> None:
    mistral = KNOWN["mistralai/Mistral-7B-v0.1"]
    gigabytes = {name: _Measures(mistral, len, row, "").weights / 1e9 for name, row in PRECISIONS.items()}
    expected = {"float32": 28.97, "bfloat16": 14.48, "int8": 7.50, "nf4": 4.45}
    assert gigabytes == pytest.approx(expected, abs=0.01)
