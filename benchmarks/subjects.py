"""What is measured: how much of it, and on which model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from babelscope.models import Model, open_model
from babelscope.quiet import quiet_transformers
from babelscope.tasks import Asking, Prompt, Task, few_shot_prompts, load_task
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

MODEL = "gemma-3-270m"


@dataclass(frozen=True)
class Sizes:
    prompts: int  # six-shot prompts in the capture cases: as many as the demo study has in each language
    memory_prompts: int  # of them, in the memory runs: two batches of the others
    parity_prompts: int  # compared in float32
    rounds: int
    pairs: int  # per training step
    parity_pairs: int  # compared in float32
    steps: int  # of training, in each round
    stored: int  # prompts whose files are compared
    cached: tuple[int, int]  # prompts in all, few and many
    starts: int  # of the command
    every_language: int  # of how many languages one is asked all tasks
    items: int  # of each task in each of them
    cache_bytes: float  # of the cache that is read from
    scaled: tuple[int, ...]  # prompts in the scaling case


FULL = Sizes(120, 32, 8, 3, 16, 4, 2, 16, (1000, 50_000), 7, 4, 120, 1e10, (64, 256, 1024))
QUICK = Sizes(4, 4, 2, 1, 4, 2, 2, 2, (20, 200), 3, 10, 4, 1e7, (8, 16))


def open_real(dtype: str = "auto") -> Model:
    return open_model(MODEL, dtype=dtype, device="cpu")


def open_plain(dtype: str = "auto") -> Model:
    """The same model with `requires_grad` as `from_pretrained` leaves it, for the ways that are not ours.

    Frozen weights, as ours are, send `logits_to_keep=1` through a far slower path in torch (an expanded copy of the
    unembedding for every row), which a plain user never meets. Attention is transformers' default.
    """
    model = open_model(MODEL, dtype=dtype, device="cpu", attention="sdpa")
    model.net.requires_grad_(True)
    return model


def warm_up(model: Model) -> None:
    """One short forward with logits: weights that were only mapped from disk are resident from here on."""
    with torch.inference_mode():
        model.net(input_ids=torch.arange(2, 10)[None])


def six_shot(number: int) -> list[Prompt]:
    return few_shot_prompts(load_task("sentiment"), "en", Asking(6), number)


def enlarged(task: Task, languages: Sequence[str], number: int) -> Task:
    """The task with `number` examples in each language: its own, over and over under new ids."""
    examples = {}
    for code in languages:
        own = task.examples[code]
        examples[code] = tuple(replace(own[i % len(own)], id=f"{own[i % len(own)].id}-{i}") for i in range(number))
    return replace(task, examples=examples)


def random_llama(folder: Path, d_model: int = 128, layers: int = 6) -> Model:
    """A small llama with random weights and a byte-level BPE trained on the task's own sentences."""
    torch.manual_seed(0)
    tokenizer = _trained_tokenizer()
    config = AutoConfig.for_model(
        "llama",
        vocab_size=len(tokenizer),
        hidden_size=d_model,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=2 * d_model,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
    )
    with quiet_transformers():
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return open_model(str(folder), dtype="float32", device="cpu")


def _trained_tokenizer() -> PreTrainedTokenizerFast:
    texts = [example.text for example in load_task("sentiment").examples["en"][:200]]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<bos>", "<eos>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    backend.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<bos>", eos_token="<eos>", pad_token="<eos>")
