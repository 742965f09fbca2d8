"""What a study would do: prompts, tokens, disk and memory, told without opening its model.

Tokens are counted with the model's tokenizer and sizes come from its configuration; neither needs the weights. Where
the model is not at hand, tokens are estimated from the length of the texts and the plan says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..display import Displayed
from ..errors import ModelError
from ..models.compute import Precision, choose_compute
from ..progress import Progress, Steps, silent
from ..settings import Condition, recipe_of
from .checks import check_study
from .stages import Asked, Stage, Study

BYTES_PER_TOKEN = 3.2  # of UTF-8 text in the twenty languages with a tokenizer of 100,000 words or more
# Numbers that a block keeps for the backward pass, for each of a token's numbers in the residual stream and in the MLP:
# inputs of the projections and of the attention, norms in float32; gate, value, their product, the activation.
KEPT_OF_RESIDUAL, KEPT_OF_MLP = 20, 4
LORA_BYTES = 16  # a trained parameter, its gradient and two moments of AdamW, in float32


@dataclass(frozen=True, repr=False)
class PlannedStage(Displayed):
    """One stage: what it reads, what it leaves on disk and what it holds in memory at its height."""

    name: str
    state: str  # complete, to do
    prompts: int = 0
    tokens: int = 0
    disk: int = 0  # bytes
    memory: int = 0  # bytes, estimated
    note: str = ""


@dataclass(frozen=True)
class Size:
    """What decides how much memory a model takes."""

    parameters: int
    embeddings: int  # of them in embedding and unembedding, which are not quantised
    layers: int
    d_model: int
    d_mlp: int
    vocabulary: int
    query_width: int  # numbers that the queries of one token take in one layer
    kv_width: int  # and its keys and values


# Models of arXiv 2405.13816, by their published configurations: a plan can be made where no hub is reached.
KNOWN = {
    "mistralai/Mistral-7B-v0.1": Size(7_241_732_096, 262_144_000, 32, 4096, 14336, 32_000, 4096, 2048),
    "Qwen/Qwen1.5-1.8B": Size(1_836_828_672, 622_329_856, 24, 2048, 5504, 151_936, 2048, 4096),
    "Qwen/Qwen1.5-4B": Size(3_950_369_280, 777_912_320, 40, 2560, 6912, 151_936, 2560, 5120),
    "Qwen/Qwen1.5-14B": Size(14_167_290_880, 1_557_135_360, 40, 5120, 13_696, 152_064, 5120, 10_240),
}


@dataclass(frozen=True)
class _Measures:
    """How tokens are counted and how large the model is."""

    size: Size
    count: Callable[[Sequence[str]], int]
    precision: Precision
    note: str

    @property
    def width(self) -> int:
        """Bytes of a number of the computation."""
        return self.precision.dtype.itemsize

    @property
    def weights(self) -> int:
        """Bytes of the model's weights."""
        size = self.size
        return round((size.parameters - size.embeddings) * self.precision.weight_bytes) + size.embeddings * self.width


def plan_study(study: Study, on_progress: Progress = silent) -> list[PlannedStage]:
    """Every stage with its needs, in order."""
    check_study(study)
    measures = _measures(study)
    training = {f"train {c.name}": c for c in study.conditions if c.adapter}
    caching = {f"cache {study.label(a.name, c.name)}": (a, c) for a, c in study.cells()}
    stages, rows = study.stages(), []
    step = Steps(on_progress, len(stages))
    for stage in stages:
        if stage.name in training:
            rows.append(_training(study, training[stage.name], measures, stage))
        elif stage.name in caching:
            rows.append(_caching(study, *caching[stage.name], measures, stage))
        else:
            rows.append(PlannedStage(stage.name, _state(stage)))
        step()
    return rows


def _state(stage: Stage) -> str:
    return "complete" if stage.done() else "to do"


def _training(study: Study, condition: Condition, measures: _Measures, stage: Stage) -> PlannedStage:
    assert condition.adapter is not None
    pairs = study.pairs(condition)
    recipe = recipe_of(condition.adapter)
    tokens = measures.count([pair.question + pair.instruction + pair.output for pair in pairs])
    size, width = measures.size, measures.width
    trained = size.layers * recipe.rank * (2 * size.d_model + size.query_width + size.kv_width // 2)  # query and value
    kept = recipe.tokens_per_batch * size.layers * (KEPT_OF_RESIDUAL * size.d_model + KEPT_OF_MLP * size.d_mlp) * width
    memory = measures.weights + trained * LORA_BYTES + kept + _logits(size, 128)
    note = "; ".join(filter(None, [f"questions: {study.questions(condition)[1]}", measures.note]))
    return PlannedStage(stage.name, _state(stage), len(pairs), tokens * recipe.epochs, 4 * trained, memory, note)


def _caching(study: Study, asked: Asked, condition: Condition, measures: _Measures, stage: Stage) -> PlannedStage:
    from ..activations.layout import array_shapes, row_bytes, shard_rows
    from ..activations.past import PREFIX_COPIES, TOKEN_BUDGET
    from ..models import UNEMBEDDED

    request = study.request(asked, condition)
    prompts = [prompt for group in request.prompts().values() for prompt in group]
    tokens = measures.count([prompt.full for prompt in prompts])
    size, width = measures.size, measures.width
    arrays = array_shapes(request.keep, size.layers, size.d_model, size.d_mlp)
    states = row_bytes(arrays, request.dtype)
    held = 2 * (size.layers + 1) * size.d_model * width + 2 * states  # as captured, and as a file in memory
    keys = PREFIX_COPIES * TOKEN_BUDGET * size.layers * size.kv_width * width
    block = TOKEN_BUDGET * (4 * size.d_model + 3 * size.d_mlp) * width
    memory = measures.weights + keys + block + shard_rows(arrays, request.dtype) * held + _logits(size, UNEMBEDDED)
    texts = sum(len(prompt.example.text.encode()) for prompt in prompts)  # what is around them stands there once
    return PlannedStage(
        stage.name, _state(stage), len(prompts), tokens, len(prompts) * states + texts, memory, measures.note
    )


def _logits(size: Size, rows: int) -> int:
    return rows * size.vocabulary * (4 + 2)  # as computed, and in float32


def _measures(study: Study) -> _Measures:
    from ..models import open_tokenizer, text_config

    name = study.settings.model
    precision = choose_compute(study.settings.device, study.settings.dtype).precision
    try:
        tokenizer = open_tokenizer(name)
        size = _size(text_config(name))
    except ModelError:
        if name not in KNOWN:
            raise
        return _Measures(KNOWN[name], _estimated, precision, "tokens estimated: the model is not at hand")
    return _Measures(size, lambda texts: sum(map(len, tokenizer(list(texts))["input_ids"])), precision, "")


def _estimated(texts: Sequence[str]) -> int:
    return round(sum(len(text.encode()) for text in texts) / BYTES_PER_TOKEN)


def _size(config: Any) -> Size:
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        net = AutoModelForCausalLM.from_config(config)
    ends = {id(part.weight): part.weight.numel() for part in (net.get_input_embeddings(), net.get_output_embeddings())}
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    wide = getattr(config, "intermediate_size", None) or getattr(config, "ffn_dim", None) or 4 * config.hidden_size
    return Size(
        net.num_parameters(),
        sum(ends.values()),
        config.num_hidden_layers,
        config.hidden_size,
        wide,
        config.vocab_size,
        query_width=config.num_attention_heads * head,
        kv_width=2 * heads * head,
    )
