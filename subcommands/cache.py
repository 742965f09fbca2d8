"""`babelscope cache ls | info | verify | repair | merge | export | upgrade | gc`: what is done with finished caches."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import CacheError, UsageError
from ..terminal import confirm_size, hint, progress, show
from .options import (
    AdapterOption,
    CacheArgument,
    CompressOption,
    DataOption,
    DeviceOption,
    DtypeOption,
    InstructionOption,
    JsonOption,
    LanguagesOption,
    LayersOption,
    LimitOption,
    OutOption,
    SeedOption,
    ShotsOption,
    TaskOption,
    UncheckedOption,
    WordsOption,
    YesOption,
    asking,
    layer_numbers,
)

if TYPE_CHECKING:
    from ..activations.cache import Request
    from ..models import Model

app = typer.Typer(rich_markup_mode="markdown")

FolderArgument = Annotated[Path, typer.Argument(help="A folder; those below it are searched too.")]


@app.callback(invoke_without_command=True)
def capture_command(
    context: typer.Context,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Hub id, local folder, or packaged name.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Where the cache goes, such as base.h5.")] = None,
    adapter: AdapterOption = None,
    task: TaskOption = "sentiment",
    languages: LanguagesOption = "all",
    shots: ShotsOption = None,
    words: WordsOption = "english",
    instruction: InstructionOption = "own",
    limit: LimitOption = None,
    data: DataOption = None,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
    keep: Annotated[
        str,
        typer.Option("--keep", help="last, mean, all; STREAM/POSITION for attention, mlp, neurons; `none`."),
    ] = "last,mean",
    compress: CompressOption = False,
    unchecked: UncheckedOption = False,
    yes: YesOption = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Store states and label scores of every prompt. Example: `babelscope cache -m gemma-3-270m --out base.h5`

    The commands below work on caches that are there.
    """
    if context.invoked_subcommand is not None:
        return
    if model is None or out is None:
        raise UsageError("Caching needs --model and --out, such as `babelscope cache -m gemma-3-270m --out base.h5`.")
    from ..activations.cache import Request, stored_dtype, write_cache
    from ..activations.doctor import require_sound
    from ..activations.layout import array_name
    from ..activations.store import Cache
    from ..models import open_model
    from ..tasks import load_task, select_languages

    loaded = load_task(task, data)
    codes = tuple(select_languages(languages, loaded.languages, f"task {task!r}"))
    asked = asking(task, shots, words, instruction)
    arrays = tuple(array_name(text) for text in keep.split(",")) if keep != "none" else ()
    request = Request(loaded, codes, asked, limit, stored_dtype(dtype), seed, arrays, compress)
    request.prompts()  # bad settings are named before the model is opened
    with progress("opening the model"):
        opened = open_model(model, adapter, dtype=dtype, device=device)
    if not yes:
        _confirm_size(opened, request, out)
    if not unchecked and not out.exists():
        first = request.languages[0]
        require_sound(opened, request.prompts()[first][:2], request.answer_words(first))
    with progress("cache", "prompts") as report:
        written = write_cache(opened, request, out, report)
    with Cache(out) as cache:
        show([{"cache": str(out), "written": written, "bytes": cache.n_bytes}], as_json)
    beside = out.with_name("base.h5")
    case = "cache, adapted" if adapter and beside.is_file() and beside != out else "cache"
    hint(case, as_json, out=out, base=beside)


def _confirm_size(model: "Model", request: "Request", out: Path) -> None:
    """Ask before arrays are written that can take far more disk than what is kept by default."""
    from ..activations.cache import estimated_bytes
    from ..activations.layout import KEPT

    if set(request.keep) <= set(KEPT) or out.exists():
        return
    confirm_size(out, estimated_bytes(model, request), request.keep)


@app.command("ls")
def ls(folder: FolderArgument = Path(), as_json: JsonOption = False) -> None:
    """Caches in a folder. Example: `babelscope cache ls runs`"""
    from ..activations.inventory import list_caches

    entries, errors = list_caches(folder)
    show([asdict(entry) for entry in entries], as_json, extra={"damaged": errors})
    hint("cache ls" if entries else "cache ls, none", as_json, first=entries[0].path if entries else None)


@app.command("info")
def info(cache: CacheArgument, as_json: JsonOption = False) -> None:
    """Everything that a cache says of itself. Example: `babelscope cache info base.h5`"""
    from ..activations.inventory import entry
    from ..activations.store import Cache

    summary = asdict(entry(cache))
    with Cache(cache) as opened:
        known = summary | {"n_shards": len(opened.shards)} | opened.attributes
    show([known] if as_json else [{"field": key, "value": str(value)[:100]} for key, value in known.items()], as_json)
    hint("cache info", as_json, cache=cache)


@app.command("verify")
def verify_command(caches: Annotated[list[Path], typer.Argument(help="Caches.")], as_json: JsonOption = False) -> None:
    """Compare every byte with its checksum. Example: `babelscope cache verify base.h5`"""
    from ..activations.verify import verify

    rows, repairable = [], []
    for path in caches:
        try:
            with progress(f"verify {path.name}", "shards") as report:
                damages = verify(path, report)
        except CacheError as error:
            rows.append({"cache": str(path), "file": str(path), "language": "", "rows": "all", "what": str(error)})
            continue  # repair needs the index: what to do instead, the error says
        repairable += [str(path)] if damages else []
        rows += [
            {
                "cache": str(path),
                "file": damage.file,
                "language": damage.shard.language,
                "rows": f"{damage.shard.begin}-{damage.shard.end - 1}",
                "what": damage.what + "".join(f"; unreadable: {array}" for array in damage.arrays),
            }
            for damage in damages
        ]
    remedy = f"; `babelscope cache repair {repairable[0]}`" if repairable else ""
    show(rows, as_json, extra={"damaged": [f"{len(rows)} file(s){remedy}"] if rows else []})
    if repairable or not rows:
        case = "cache verify, damaged" if repairable else "cache verify"
        hint(case, as_json, caches=caches, damaged=repairable[0] if repairable else None)
    if rows:
        sys.exit(1)


@app.command("repair")
def repair_command(
    cache: CacheArgument,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Where it lies now, if it was moved.")] = None,
    adapter: AdapterOption = None,
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Capture damaged and missing rows again. Example: `babelscope cache repair base.h5`"""
    from ..activations.repair import repair
    from ..activations.store import Cache
    from ..models import open_model

    with Cache(cache) as opened:
        made = opened.attributes
    with progress("repair", "prompts") as report:
        repaired = repair(
            cache,
            lambda: open_model(
                model or made["model"], adapter or made["adapter"] or None, dtype=made["compute_dtype"], device=device
            ),
            report,
        )
    rows = [
        {"file": d.file, "language": d.shard.language, "rows": f"{d.shard.begin}-{d.shard.end - 1}", "same_bytes": same}
        for d, same in repaired
    ]
    show(rows, as_json, extra={"repaired": [f"{len(rows)} shard(s)"] if rows else []})
    hint("cache repair", as_json, cache=cache)


@app.command("merge")
def merge_command(
    caches: Annotated[list[Path], typer.Argument(help="Caches of one condition.")],
    out: OutOption,
    as_json: JsonOption = False,
) -> None:
    """Join caches that were made apart. Example: `babelscope cache merge zh.h5 sw.h5 --out both.h5`"""
    from ..activations.inventory import entry
    from ..activations.merge import merge

    with progress("merge", "shards") as report:
        merge(caches, out, report)
    show([asdict(entry(out))], as_json)
    hint("cache merge", as_json, out=out)


@app.command("export")
def export_command(
    cache: CacheArgument, out: OutOption, layers: LayersOption = None, as_json: JsonOption = False
) -> None:
    """Write .npz, .parquet or .safetensors. Example: `babelscope cache export base.h5 --layers 0,9 --out base.npz`"""
    from ..activations.export import export
    from ..activations.store import Cache

    with Cache(cache) as opened, progress("export", "layers") as report:
        export(opened, out, layer_numbers(layers), report)
    show([{"file": str(out), "bytes": out.stat().st_size}], as_json)
    hint("cache export", as_json)


@app.command("upgrade")
def upgrade_command(
    cache: CacheArgument,
    out: OutOption,
    compress: CompressOption = False,
    as_json: JsonOption = False,
) -> None:
    """Bring a cache of an older version to the present one. Example: `babelscope cache upgrade old.h5 --out new.h5`"""
    from ..activations.inventory import entry
    from ..activations.upgrade import upgrade

    if cache.resolve() == out.resolve():
        raise UsageError("--out is the old cache itself. Choose another name; the old file stays.")
    with progress("upgrade", "shards") as report:
        upgrade(cache, out, compress, report)
    show([asdict(entry(out))], as_json)
    hint("cache upgrade", as_json, out=out)


@app.command("gc")
def gc(
    folder: FolderArgument = Path(),
    delete: Annotated[bool, typer.Option("--delete", help="Delete what is listed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What runs that ended early left behind. Example: `babelscope cache gc runs --delete`"""
    from ..activations.inventory import leftovers, remove_leftovers

    found = remove_leftovers(folder) if delete else leftovers(folder)
    rows = [{"path": str(thing.path), "what": thing.what, "bytes": thing.bytes, "deleted": delete} for thing in found]
    show(rows, as_json)
    hint("cache gc, listed" if rows and not delete else "cache gc", as_json, folder=folder)
