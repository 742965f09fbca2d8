"""Tiny models built from configurations, offline: real architectures, random weights, a real trained tokenizer."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from babelscope.models import FAMILIES, Model, open_model
from babelscope.tasks import load_task
from jobs import fork_server
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedTokenizerFast

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

torch.set_num_threads(1)

D_MODEL, N_LAYERS, HEADS = 32, 3, 4

COMMON = {
    "hidden_size": D_MODEL,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": 48,
    "max_position_embeddings": 2048,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 1,
}

GROUPED = {"num_key_value_heads": 2, "head_dim": 8}

# Family -> settings beyond the common ones. Windows are shorter than the prompts, so that sliding attention is tested.
CONFIGS: dict[str, dict[str, object]] = {
    "llama": GROUPED | {"tie_word_embeddings": False},
    "mistral": GROUPED | {"sliding_window": 24, "tie_word_embeddings": False},
    "qwen2": GROUPED | {"tie_word_embeddings": True},
    "qwen3": GROUPED | {"tie_word_embeddings": True},
    "phi3": GROUPED | {"tie_word_embeddings": False},
    "gemma2": GROUPED | {"sliding_window": 24, "query_pre_attn_scalar": 8, "final_logit_softcapping": 2.0},
    "gemma3_text": GROUPED | {"sliding_window": 24, "query_pre_attn_scalar": 8, "layer_types": None},
    "gemma3": GROUPED | {"sliding_window": 24, "query_pre_attn_scalar": 8, "layer_types": None},
    "gpt2": {"n_embd": D_MODEL, "n_layer": N_LAYERS, "n_head": HEADS, "n_positions": 2048},
    "bloom": {"n_layer": N_LAYERS, "n_head": HEADS},
    "gpt_neox": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": D_MODEL},
}


def make_config(family: str, settings: dict[str, object]) -> PreTrainedConfig:
    if family != "gemma3":
        return AutoConfig.for_model(family, **settings)
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vision |= {"image_size": 28, "patch_size": 14}
    return AutoConfig.for_model("gemma3", text_config=settings, vision_config=vision, mm_tokens_per_image=1)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE with a BOS, trained on the project's own sentences."""
    task = load_task("sentiment")
    texts = [example.text for code in ("en", "de", "zh", "hi") for example in task.examples[code][:80]]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=600, special_tokens=["<bos>", "<eos>"], initial_alphabet=alphabet),
    )
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", pad_token="<eos>")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, tokenizer: PreTrainedTokenizerFast) -> Callable[[str], Path]:
    """A function from family to the folder of a saved tiny model, as from a hub."""
    built: dict[str, Path] = {}

    def build(family: str) -> Path:
        if family not in built:
            torch.manual_seed(0)
            settings = {k: v for k, v in (COMMON | CONFIGS[family]).items() if v is not None}
            config = make_config(family, settings | {"vocab_size": len(tokenizer)})
            net = AutoModelForCausalLM.from_config(config)
            # Fresh weights are tiny and all layers alike; larger ones make every path matter.
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter.add_(torch.randn_like(parameter) * 0.1)
            folder = tmp_path_factory.mktemp("models") / family
            net.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            assert json.loads((folder / "config.json").read_text())["model_type"] == family
            built[family] = folder
        return built[family]

    return build


@pytest.fixture
def tiny(tiny_folder: Callable[[str], Path]) -> Callable[..., Model]:
    """A function from family to an opened tiny model in float32 on the CPU."""

    def build(family: str = "llama", **options: object) -> Model:
        return open_model(str(tiny_folder(family)), dtype="float32", device="cpu", **options)  # type: ignore[arg-type]

    return build


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """What starts real processes, see jobs.py."""
    return fork_server()


@pytest.fixture(scope="session")
def tiny_adapter(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function from family to the folder of an adapter that changes the chosen blocks (all, if none are given)."""

    def build(family: str = "llama", blocks: Sequence[int] | None = None) -> Path:
        torch.manual_seed(1)
        net = AutoModelForCausalLM.from_pretrained(tiny_folder(family))
        chosen = list(range(N_LAYERS)) if blocks is None else list(blocks)
        config = LoraConfig(target_modules=list(FAMILIES[family].query_value), r=4, layers_to_transform=chosen)
        wrapped = get_peft_model(net, config)
        with torch.no_grad():
            for name, parameter in wrapped.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn_like(parameter) * 0.3)
        folder = tmp_path_factory.mktemp("adapter")
        wrapped.save_pretrained(folder)
        return folder

    return build


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium; tests skip where it or playwright is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on the PATH: apt-get install chromium")
    quiet = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    arguments = [*quiet.split(), "--disable-component-update", "--disable-sync"]
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield launched
        launched.close()


@pytest.fixture
def open_file(browser: "Browser") -> Iterator[Callable[..., "Page"]]:
    """A function that opens a page; whatever its console says, and whatever it asks a network for, is an error."""
    said: list[str] = []
    contexts = []

    def open_(path: Path, **options: object) -> "Page":
        contexts.append(browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options}))  # type: ignore[arg-type]
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on(
            "request", lambda request: request.url.startswith(("file:", "blob:", "data:")) or said.append(request.url)
        )
        page.set_default_timeout(60_000)
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert said == []
