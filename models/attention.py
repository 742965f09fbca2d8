"""Attention of short texts on a CPU, for heads that share keys: products of matrices instead of torch's kernel.

In bfloat16 torch's CPU kernel works at a quarter of what a product reaches, and its gradient slower still. Here the
query heads that share keys and values (grouped-query attention, arXiv 2305.13245) are the rows of one product, so that
these are not repeated either. All scores are held meanwhile, therefore long texts are left to torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel

NAME = "grouped_products"
_LONGEST = 2  # times a head's width: the scores of so many keys take about the room of queries, keys and values
_OTHERWISE = ("position_bias", "cache", "softcap")  # options of transformers that change what is computed


def use_products(net: "PreTrainedModel") -> None:
    """Let a model that is to compute attention by torch's kernel use `grouped_products` where that is quicker."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if net.config._attn_implementation == "sdpa":
        AttentionInterface.register(NAME, grouped_products)
        AttentionMaskInterface.register(NAME, sdpa_mask)
        net.set_attn_implementation(NAME)


def grouped_products(
    module: "nn.Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> "tuple[torch.Tensor, None]":
    """What transformers' `sdpa` attention returns: [row, token, head, width], and no weights.

    Scores are float32, as in torch's kernel: bfloat16 would round a score of 20 by up to 0.06.

    Args:
        query: [row, head, token, width]. key, value: [row, key head, key, width].
        attention_mask: what a token sees (bool), or what is added to its scores; None is causal.
        scaling: of the scores; 1 / sqrt(width) if None.
        options: of `sdpa` attention, which is called where heads share nothing, in float32, and for long texts.
    """
    import torch
    from torch.nn import functional
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, asked, width = query.shape
    _, groups, held, _ = key.shape
    alone = heads == groups or query.dtype == torch.float32 or held > _LONGEST * width
    if alone or any(options.get(name) is not None for name in _OTHERWISE):
        plain: tuple[torch.Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **options
        )
        return plain
    together = (rows * groups, heads // groups * asked, width)
    keys, values = key.reshape(rows * groups, held, width), value.reshape(rows * groups, held, -1)
    scores = torch.baddbmm(
        torch.empty((), dtype=torch.float32, device=query.device),
        query.reshape(together).float(),
        keys.float().transpose(1, 2),
        beta=0,  # so that what is empty is not read
        alpha=width**-0.5 if scaling is None else scaling,
    ).view(rows, heads, asked, held)
    causal = options.get("is_causal")
    if attention_mask is None and asked > 1 and (getattr(module, "is_causal", True) if causal is None else causal):
        attention_mask = torch.ones(asked, held, dtype=torch.bool, device=scores.device).tril()
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    elif attention_mask is not None:
        scores += attention_mask
    shares = torch.softmax(scores, -1) if torch.is_grad_enabled() else torch.softmax(scores, -1, out=scores)
    shares = functional.dropout(shares.to(value.dtype), dropout, module.training)
    said = torch.bmm(shares.view(*together[:2], held), values)
    return said.view(rows, heads, asked, -1).transpose(1, 2).contiguous(), None
