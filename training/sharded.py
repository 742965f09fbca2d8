"""FSDP: every process holds a part of the frozen base, and the whole of what is trained.

Blocks are gathered as the forward and the backward pass reach them (fully sharded data parallelism, arXiv 2304.11277,
by torch's `fully_shard`). Embedding, final norm and unembedding stay whole on every device, for the loss reads them
directly; so does the adapter, whose gradients, clipping, optimiser and checkpoints are then those of any other run.
"""

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from ..errors import UsageError
from ..models import Model
from ..ranks import Ranks
from .batches import Batch, Row, batches


def shard(model: Model, ranks: Ranks) -> None:
    """Divide the blocks of a model that lies in CPU memory; what stays whole moves to the device. There is no way back.

    Of accelerate's configuration, `fsdp_reshard_after_forward` and `fsdp_offload_params` are read.

    Raises:
        UsageError: it asks for FSDP1, or for weights that the first process alone has read.
    """
    from accelerate.utils import FullyShardedDataParallelPlugin

    plugin = FullyShardedDataParallelPlugin()
    if plugin.fsdp_version != 2 or plugin.cpu_ram_efficient_loading:
        raise UsageError(
            "The configuration of accelerate must say fsdp_version: 2 and fsdp_cpu_ram_efficient_loading: false, as "
            "studies/accelerate-fsdp.yaml does."
        )
    device = model.compute.device
    divided = {parameter for block in model.blocks for parameter in block.parameters() if not parameter.requires_grad}
    whole = set(model.net.parameters()) - divided
    mesh = init_device_mesh(device.type, (ranks.size,))
    for module in (*model.blocks, model.body):  # the body holds nothing of its own: it makes the blocks run as one
        fully_shard(
            module,
            mesh=mesh,
            reshard_after_forward=plugin.reshard_after_forward,
            offload_policy=plugin.cpu_offload,
            ignored_params=whole,
        )
    for parameter in whole:
        parameter.data = parameter.data.to(device)


def in_step(rows: Sequence[Row], token_budget: int, ranks: Ranks) -> Iterator[Batch]:
    """This rank's batches, as many as every other rank has: blocks are gathered by all of them at once.

    The ranks that have fewer run batches that predict nothing, whose gradients are zero.
    """
    counts = [sum(1 for _ in batches(rows[rank :: ranks.size], token_budget)) for rank in range(ranks.size)]
    yield from batches(ranks.mine(list(rows)), token_budget)
    first = torch.tensor([rows[0].ids])
    nothing = Batch(first, torch.zeros(0, 2, dtype=torch.long), torch.zeros(0, dtype=torch.long))
    yield from itertools.repeat(nothing, max(counts) - counts[ranks.rank])
