"""Opening models: what is refused, what is found, what is read without opening."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from babelscope.errors import ModelError, UsageError
from babelscope.models import FAMILIES, Model, adapted, fingerprints, open_model
from babelscope.models import opening as models
from babelscope.models.packaged import PACKAGED, Packaged, import_model
from babelscope.models.unembedding import open_unembedding


@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_of_the_table_finds_its_parts(tiny: Callable[..., Model], family: str) -> None:
    model = tiny(family)
    assert model.n_layers == 3
    assert model.d_model == 32
    assert model.unembed(torch.randn(2, 32)).shape == (2, model.unembedding.out_features)
    names = {name.rsplit(".", 1)[-1] for name, _ in model.net.named_modules()}
    assert set(model.family.query_value) <= names
    assert not model.net.training
    assert not any(parameter.requires_grad for parameter in model.net.parameters())


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
def test_unembedding_is_read_without_opening_the_model(
    tiny: Callable[..., Model], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family)
    states = 3 * torch.randn(4, model.d_model)
    monkeypatch.setattr(
        "babelscope.models.unembedding.open_model", lambda *args, **kwargs: pytest.fail("the model was opened")
    )
    torch.testing.assert_close(open_unembedding(model.name, dtype="float32")(states), model.unembed(states))


def test_unknown_names_are_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Unknown model 'gemma': no such folder, no hub id"):
        open_model("gemma")
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        open_model(str(tmp_path))


def test_hub_failures_are_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(ModelError, match=r"'nobody/nothing' cannot be fetched from the hub .*: no route"):
        open_model("nobody/nothing")


def test_unknown_family_says_how_to_add_a_row(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mamba"}))
    with pytest.raises(ModelError, match=r"family 'mamba' is not known.*give FAMILIES in models/families.py one row"):
        open_model(str(folder))


def test_pickled_weights_are_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no \.safetensors file.*can run code"):
        open_model(str(folder))


def test_truncated_weights_are_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(ModelError, match="cannot be opened"):
        open_model(str(folder))


def test_missing_and_pickled_adapters_are_refused(tiny: Callable[..., Model], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        tiny(adapter=tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"no adapter_model\.safetensors.*can run code"):
        tiny(adapter=tmp_path)


def test_dtype_and_device(tiny_folder: Callable[[str], Path]) -> None:
    folder = str(tiny_folder("llama"))
    assert open_model(folder, dtype="bfloat16").dtype == torch.bfloat16
    assert open_model(folder).dtype in (torch.bfloat16, torch.float32)
    with pytest.raises(UsageError, match="float16 overflows"):
        open_model(folder, dtype="float16")
    with pytest.raises(UsageError, match="Unknown device 'gpu'"):
        open_model(folder, device="gpu")


def test_fingerprints_follow_the_contents(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    before = fingerprints(folder)
    assert before == fingerprints(tiny_folder("llama"))
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    after = fingerprints(folder)
    assert before["model_sha256"] != after["model_sha256"]
    assert before["tokenizer_sha256"] == after["tokenizer_sha256"]


def test_import_needs_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BABELSCOPE_HOME", str(tmp_path))
    (name,) = PACKAGED
    with pytest.raises(ModelError, match=f"not imported yet. Run `babelscope models import {name}`"):
        open_model(name)

    with pytest.raises(UsageError, match="not a packaged model"):
        import_model("llama")
    missing = Packaged("no_such_module", "pip install it", "terms")
    monkeypatch.setitem(PACKAGED, name, missing)
    with pytest.raises(ModelError, match="not installed: pip install it"):
        import_model(name)


def test_a_local_folder_is_not_taken_for_a_hub_id(tiny_folder: Callable[[str], Path]) -> None:
    assert models.resolve(str(tiny_folder("llama"))) == tiny_folder("llama")


def lora(folder: Path, tmp_path: Path, **settings: object) -> Path:
    """An adapter from elsewhere: saved by peft, without inputs.json."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    net = AutoModelForCausalLM.from_pretrained(folder)
    options = {"target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} | settings
    get_peft_model(net, LoraConfig(**options)).save_pretrained(tmp_path / "adapter")  # type: ignore[arg-type]
    return tmp_path / "adapter"


def test_adapters_from_elsewhere_are_opened(
    tiny: Callable[..., Model], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    model = tiny(adapter=lora(tiny_folder("llama"), tmp_path))
    states = torch.arange(4).unsqueeze(0)
    assert not torch.allclose(model.net(states).logits, tiny().net(states).logits)


def test_adapters_are_put_in_and_taken_out_of_one_base(
    tiny: Callable[..., Model], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Swapped on an open base as if each had been opened with it, and the base is as it was, adapted or trained on."""
    base, adapter = tiny(), lora(tiny_folder("llama"), tmp_path)
    ids = torch.tensor([[5, 6, 7]])
    opened = tiny(adapter=adapter).net(ids).logits
    before, modules = base.net(ids).logits, {name for name, _ in base.net.named_modules()}
    for _ in range(2):
        with adapted(base, adapter) as model:
            assert model.adapter == adapter
            torch.testing.assert_close(model.net(ids).logits, opened)
        assert torch.equal(base.net(ids).logits, before)
        assert {name for name, _ in base.net.named_modules()} == modules
    with adapted(base, None) as model:
        assert model is base


def test_adapters_of_another_depth_are_refused(
    tiny: Callable[..., Model], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = lora(tiny_folder("llama"), tmp_path, layers_to_transform=[0, 1])
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"layers_to_transform": None}))
    with pytest.raises(ModelError, match="does not fit the base model"):
        tiny(adapter=adapter)


def test_adapters_that_change_the_unembedding_are_refused(
    tiny: Callable[..., Model], tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    adapter = lora(tiny_folder("llama"), tmp_path, modules_to_save=["lm_head"])
    with pytest.raises(ModelError, match="changes lm_head; the logit lens would read the base model's"):
        tiny(adapter=adapter)


def test_missing_weights_are_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"do not fill the model.*layers\.1\.mlp\.up_proj"):
        open_model(str(folder))


def test_tokenizers_that_end_texts_are_refused(tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    from tokenizers import processors
    from transformers import AutoTokenizer

    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 0), ("<eos>", 1)]
    )
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match="ends texts with a special token"):
        open_model(str(folder))
