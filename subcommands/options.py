"""Options that several commands share, and what their texts mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import UsageError

if TYPE_CHECKING:
    from ..tasks import Asking

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="Hub id, local folder, or packaged name.")]
AdapterOption = Annotated[Path | None, typer.Option("--adapter", help="Folder of a PEFT adapter.")]
TaskOption = Annotated[str, typer.Option("--task", "-t", help="Task, see `babelscope tasks list`.")]
DataOption = Annotated[
    str | None,
    typer.Option("--data", help="The paper's folder, a .jsonl or .csv file, xnli, paws-x or a dataset map."),
]
LanguagesOption = Annotated[str, typer.Option("--languages", "-l", help="`all`, or codes: zh,de,sw.")]
ShotsOption = Annotated[int | None, typer.Option("--shots", help="Demonstrations. Default: as in the paper.")]
WordsOption = Annotated[str, typer.Option("--words", help="Answers: english, own, or one per label: ox,horse.")]
InstructionOption = Annotated[str, typer.Option("--instruction", help="Language of the words around: own, or a code.")]
LimitOption = Annotated[int | None, typer.Option("--limit", min=1, help="Examples per language.")]
DtypeOption = Annotated[str, typer.Option("--dtype", help="`auto`, `float32`, `bfloat16`; on GPUs also `int8`, `nf4`.")]
DeviceOption = Annotated[
    str, typer.Option("--device", help="`auto`, `cpu`, `cuda`, `cuda:1`; `balanced`: over all GPUs.")
]
SeedOption = Annotated[int, typer.Option("--seed", help="Everything random follows from it.")]
OutOption = Annotated[Path, typer.Option("--out", "-o", help="Where the result goes.")]
CachesArgument = Annotated[list[Path], typer.Argument(help="Caches: the base first, then aligned ones.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask about the size of optional arrays.")]
UncheckedOption = Annotated[bool, typer.Option("--unchecked", help="Do not check the model's states first.")]
CompressOption = Annotated[bool, typer.Option("--compress", help="Compress the states, without loss.")]
CacheArgument = Annotated[Path, typer.Argument(help="A cache.")]
LayersOption = Annotated[str | None, typer.Option("--layers", help="Layers: 0,6,12. Default: all, or a spread.")]


def asking(task: str, shots: int | None, words: str, instruction: str) -> "Asking":
    from ..tasks import KINDS, Asking

    spoken = words if words in ("english", "own") else tuple(words.split(","))
    return Asking(KINDS[task].shots if shots is None else shots, spoken, instruction)


def layer_numbers(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(sorted({int(part) for part in text.split(",")}))
    except ValueError:
        raise UsageError(f"--layers {text!r} is not a list of numbers such as 0,6,12.") from None
