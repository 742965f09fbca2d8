"""Where training stands, in one file: enough to go on as if nothing had happened."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import xxhash
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..display import Displayed
from ..files import write_whole

DIGEST = 16  # bytes before the safetensors: their xxh3_128
MOMENTS = ("step", "exp_avg", "exp_avg_sq")  # of AdamW


@dataclass(frozen=True, repr=False)
class CurvePoint(Displayed):
    """One line of training.csv. Losses are nats per answer token; tokens are questions' and answers'."""

    step: int
    loss: float | None
    val_loss: float | None
    tokens_per_second: float
    lr: float


@dataclass(frozen=True)
class Standing:
    """After `curve[-1].step` steps: the curve until then, and the parameters as they last were good."""

    curve: list[CurvePoint]
    good: list[Tensor]

    @property
    def step(self) -> int:
        return self.curve[-1].step


def save_checkpoint(
    path: Path, standing: Standing, parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer
) -> None:
    """Write parameters, their last good values, the optimiser's moments, and the curve.

    Raises:
        OSError: the folder cannot be written, or the disk is full.
    """
    tensors: dict[str, Tensor] = {}
    for i, (parameter, good) in enumerate(zip(parameters, standing.good, strict=True)):
        tensors |= {f"{i}.value": parameter.detach(), f"{i}.good": good}
        tensors |= {f"{i}.{name}": value for name, value in optimiser.state[parameter].items()}
    curve = json.dumps([asdict(point) for point in standing.curve]).encode()
    tensors["curve"] = torch.tensor(list(curve), dtype=torch.uint8)
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()})
    write_whole(path, xxhash.xxh3_128_digest(data) + data)


def load_checkpoint(path: Path, parameters: Sequence[Tensor], optimiser: torch.optim.Optimizer) -> Standing | None:
    """Put everything back as it was saved. None, and nothing is changed, where there is no whole checkpoint."""
    if not path.is_file():
        return None
    data = path.read_bytes()
    try:
        if xxhash.xxh3_128_digest(data[DIGEST:]) != data[:DIGEST]:
            raise ValueError("its bytes are not those that were written")
        curve, of_each = _checked(load(data[DIGEST:]), parameters)
    except (ValueError, LookupError, TypeError, RecursionError, SafetensorError) as error:
        warnings.warn(f"{path} is damaged ({error!s:.80}); training starts from the beginning.", stacklevel=2)
        return None
    good = []
    with torch.no_grad():
        for parameter, own in zip(parameters, of_each, strict=True):
            parameter.copy_(own.pop("value"))
            good.append(own.pop("good").to(parameter.device))
    optimiser.load_state_dict(optimiser.state_dict() | {"state": dict(enumerate(of_each))})
    return Standing(curve, good)


def _checked(
    tensors: dict[str, Tensor], parameters: Sequence[Tensor]
) -> tuple[list[CurvePoint], list[dict[str, Tensor]]]:
    """The curve, and the tensors of each parameter, in its shape.

    Raises:
        ValueError, LookupError, TypeError: they are not those of these parameters.
    """
    curve = [CurvePoint(**line) for line in json.loads(bytes(tensors.pop("curve").tolist()))]
    if [point.step for point in curve] != list(range(len(curve))) or not curve:
        raise ValueError("its curve is not one")
    for point in curve:
        if not all(isinstance(n, int | float) or n is None for n in asdict(point).values()):
            raise ValueError("its curve holds more than numbers")
    wanted = {
        f"{i}.{name}": () if name == "step" else parameter.shape
        for i, parameter in enumerate(parameters)
        for name in ("value", "good", *MOMENTS)
    }
    if odd := wanted.keys() ^ tensors.keys():
        raise ValueError(f"{min(odd)} is missing, or does not belong there")
    of_each: list[dict[str, Tensor]] = [{} for _ in parameters]
    for name, shape in wanted.items():
        i, kind = name.split(".")
        if tensors[name].shape != shape or not tensors[name].isfinite().all():
            raise ValueError(f"{name} has another shape, or is not finite")
        of_each[int(i)][kind] = tensors[name]
    return curve, of_each
