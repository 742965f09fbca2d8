"""The processes of one run: alone, or one of many under `torchrun` or `accelerate launch`."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .errors import LostRankError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from torch import Tensor

PATIENCE = timedelta(days=7)  # ranks wait for each other's work, which takes as long as it takes


@dataclass(frozen=True)
class Ranks:
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def mine(self, things: list[Any]) -> list[Any]:
        """This rank's share; the shares of all ranks are disjoint and make up the whole."""
        return things[self.rank :: self.size]

    def leading(self, lock: "AbstractContextManager[None]") -> "AbstractContextManager[None]":
        """What the first rank does for all."""
        return lock if self.first else nullcontext()

    def agree(self, value: Any) -> Any:
        """What the first rank says: file systems may show ranks different things."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        said = [value]
        with _connected():
            dist.broadcast_object_list(said)
        return said[0]

    def wait(self) -> None:
        """Until all ranks are here."""
        if self.size > 1:
            import torch.distributed as dist

            with _connected():
                dist.barrier()

    def add_up(self, tensors: "list[Tensor]") -> None:
        """Replace each tensor by its sum over ranks."""
        if self.size > 1:
            import torch.distributed as dist

            with _connected():
                for tensor in tensors:
                    dist.all_reduce(tensor)


@contextmanager
def _connected() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # whatever the library calls it
        raise LostRankError(
            f"The processes of this run lost each other ({error}). If another one failed, its message says why. Run "
            "the same command again: what is finished is kept."
        ) from error


def fsdp() -> bool:
    """Whether `accelerate launch` was told to use FSDP."""
    return _told("ACCELERATE_USE_FSDP")


def _told(variable: str) -> bool:
    return os.environ.get(variable, "false").lower() == "true"


def _accelerated() -> bool:
    return "ACCELERATE_MIXED_PRECISION" in os.environ  # which it always sets


def refuse_fsdp(what: str) -> None:
    """FSDP is for training: its processes run in step, on a model that none of them has whole.

    Raises:
        UsageError: this process was started with it.
    """
    if fsdp():
        raise UsageError(f"FSDP is for `babelscope train`. For {what} use torchrun, or --device balanced.")


def only_process_here() -> bool:
    """Whether no other process of the run is on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) == 1


def local_gpu() -> int:
    """The GPU of this process.

    Raises:
        UsageError: there are more processes on this machine than GPUs.
    """
    import torch

    rank, n = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if rank >= n:
        raise UsageError(f"Process {rank + 1} of this machine has no GPU: there are {n}. Use --nproc-per-node {n}.")
    return rank


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def current() -> Ranks:
    """This process's place, as the launcher says in RANK and WORLD_SIZE; joins the others when first asked.

    Raises:
        UsageError: `accelerate launch` was told to use DeepSpeed, or of several processes and started one.
    """
    if _told("ACCELERATE_USE_DEEPSPEED"):
        raise UsageError("DeepSpeed is not supported. FSDP divides the model likewise: studies/accelerate-fsdp.yaml.")
    # Without --multi_gpu, accelerate names the place where processes meet, and starts one that knows of no others.
    if _accelerated() and "MASTER_ADDR" in os.environ and "WORLD_SIZE" not in os.environ:
        raise UsageError(
            "`accelerate launch` was told of several processes, and started one. Give it --multi_gpu (on CPUs too), or "
            "use torchrun."
        )
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    import torch
    import torch.distributed as dist

    if not dist.is_initialized():
        # gloo moves what lies on the CPU, nccl what lies on GPUs: barriers and few small sums need no more.
        if torch.cuda.is_available():
            torch.cuda.set_device(local_gpu())
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
        atexit.register(_leave)  # threads of the group that outlive it can end the process with SIGABRT
    return Ranks(dist.get_rank(), size)
