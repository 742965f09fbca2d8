"""The command line: parses, calls one function, prints."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cli_cache import app as cache_app
from .errors import BabelscopeError, UsageError
from .options import (
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
from .terminal import events, print_answers, progress, readable, show, total

if TYPE_CHECKING:
    from .models import Model

app = typer.Typer(
    help="What happens inside a language model when it is aligned across languages?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
models_app = typer.Typer(help="Models: list, import, check.", no_args_is_help=True)
tasks_app = typer.Typer(help="Tasks: list, show, check.", no_args_is_help=True)
study_app = typer.Typer(help="Studies: train, cache, probe and plot from one file.", no_args_is_help=True)
app.add_typer(models_app, name="models")
app.add_typer(cache_app, name="cache")
app.add_typer(tasks_app, name="tasks")
app.add_typer(study_app, name="study")

# What `eval` prints of its table; --json prints all of it.
TOLD = (
    *("language", "condition", "trained", "n", "accuracy", "base", "aligned", "delta", "ci_low", "ci_high", "p_holm"),
    *("auc", "auc_base", "auc_aligned", "auc_delta", "auc_p_holm"),
    *("accuracy_calibrated", "calibrated_delta", "calibrated_p_holm"),
)


@app.callback()
def options(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    """What happens inside a language model when it is aligned across languages?"""


def main() -> None:
    """Run the command line; a user's mistake ends with one message and exit code 1 or 2, without a traceback."""
    debugging = "--debug" in sys.argv  # wherever it stands
    try:
        app([argument for argument in sys.argv[1:] if argument != "--debug"])
    except BabelscopeError as error:
        if debugging:
            raise
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        print("Interrupted. What was complete is kept; run the same command again to go on.", file=sys.stderr)
        sys.exit(130)


@models_app.command("list")
def models_list(as_json: JsonOption = False) -> None:
    """Packaged models and known families. Example: `babelscope models list`"""
    from .models import FAMILIES
    from .packaged import PACKAGED, home

    packaged = [
        {"model": name, "imported": (home() / "models" / name / "config.json").is_file(), "terms": package.terms}
        for name, package in PACKAGED.items()
    ]
    show(packaged, as_json, extra={"families": list(FAMILIES)})


@models_app.command("import")
def models_import(
    name: Annotated[str, typer.Argument(help="A packaged model, see `babelscope models list`.")],
    accept_terms: Annotated[bool, typer.Option("--accept-terms", help="Do not ask about the model's terms.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Turn a packaged model into a safetensors folder, once. Example: `babelscope models import gemma-3-270m`"""
    from .packaged import import_packaged

    def accept(terms: str) -> None:
        print(terms, file=sys.stderr)
        if not accept_terms and not typer.confirm("Do you accept these terms?", err=True):
            raise UsageError("The terms were not accepted; nothing was imported.")

    show([{"model": name, "folder": str(import_packaged(name, accept))}], as_json)


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
    from .activations.doctor import examine
    from .models import open_model
    from .tasks import load_task

    def opened(dtype: str) -> "Model":
        return open_model(name, adapter, dtype=dtype, device=device)

    findings = examine(opened(dtype), load_task(task), opened, asking(task, None, words, "own").words)
    show([asdict(finding) for finding in findings], as_json)
    if not all(finding.passed for finding in findings):
        sys.exit(1)


@tasks_app.command("list")
def tasks_list(as_json: JsonOption = False) -> None:
    """Built-in tasks, and datasets that `--data` knows by name. Example: `babelscope tasks list`"""
    from .tasks import KINDS, load_task, ready_maps

    rows = []
    for name in KINDS:
        task = load_task(name)
        first = task.languages[0]
        rows.append(
            {
                "task": name,
                "labels": ", ".join(task.labels),
                "languages": len(task.languages),
                "examples": len(task.examples[first]),
                "training_questions": len(task.questions[first]),
                "demonstrations": len(task.wordings[first].demonstrations),
            }
        )
    show(rows, as_json, extra={"datasets": list(ready_maps())})


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
    report = check_task(loaded)
    rows = [
        {"language": code, "examples": n, "training_questions": m, "identified": f"{report.identified[code]:.0%}"}
        for code, (n, m) in report.counts.items()
    ]
    if as_json:
        show(rows, True, extra={"faults": faults, "good": good, "findings": list(report.findings)})
    else:
        lines = [] if good is None else [f"{good} good rows, {len(faults)} fault(s)", *map(str, reading.faults)]
        show(rows, False, extra={"rows": lines, "findings": list(report.findings)})
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
    recipe = recipe_of(AdapterSettings(pairs=pairs.split(","), number=number, preset=preset))
    chosen = question_pairs(load_task(task, data), directions, number, seed, objective)
    with progress("train") as report:
        curve = train_adapter(
            open_model(model, dtype=dtype, device=device),
            chosen,
            recipe,
            out,
            seed=seed,
            on_progress=lambda state, steps: report(state.step, steps),
        )
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
    from .analyses import Settings, analyse
    from .analyses.accuracy import SCORINGS
    from .findings import verdict

    if scoring not in SCORINGS:
        raise UsageError(f"--scoring {scoring!r} is none of {', '.join(SCORINGS)}.")
    with _opened(caches) as opened:
        tables = analyse("accuracy", opened, Settings(limit=limit, seed=seed, scoring=scoring))
    table = tables.get("accuracy_delta", tables["accuracy"])
    if not as_json:  # the whole table is too wide to read
        table = table[[column for column in TOLD if column in table]]
    show(table, as_json, extra={"verdict": verdict(tables)})


@app.command()
def probes(as_json: JsonOption = False) -> None:
    """List the probes, and the question that each answers. Example: `babelscope probes`"""
    from .analyses import ANALYSES

    show([{"probe": name, "question": analysis.question} for name, analysis in ANALYSES.items()], as_json)


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
    from .analyses import Settings, analyse
    from .results import draw_figures, write_tables

    settings = Settings(
        draws, seed, pivot, layer_numbers(layers), limit=limit, device=device, corpus=corpus, scratch=out / ".parts"
    )
    with _opened(caches) as opened, progress(name) as report:
        tables = analyse(name, opened, settings, report)
    paths = [*write_tables(tables, out / "tables"), *draw_figures(tables, out / "figures")]
    show([{"file": str(path)} for path in paths], as_json)


@app.command("explain")
def explain_run(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or the --out of `probe`.")],
    as_json: JsonOption = False,
) -> None:
    """What the tables say of alignment, and what they cannot. Example: `babelscope explain runs/demo`"""
    from .results import explanations

    found = explanations(folder)
    if as_json:
        show([{"condition": name, **asdict(one)} for name, answers in found.items() for one in answers], as_json)
    else:
        print_answers({name: [asdict(one) for one in answers] for name, answers in found.items()})


@app.command()
def plot(
    tables: Annotated[Path, typer.Argument(help="Folder with CSV tables of `probe` or of a study.")],
    out: OutOption,
    as_json: JsonOption = False,
) -> None:
    """Draw every figure that the tables in a folder allow. Example: `babelscope plot runs/demo/tables --out figures`"""
    from .results import draw_figures, read_tables

    show([{"file": str(path)} for path in draw_figures(read_tables(tables), out)], as_json)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A study's folder, or the --out of `probe`.")],
    as_json: JsonOption = False,
) -> None:
    """Gather tables and figures in report.html. Example: `babelscope report runs/demo`"""
    from .report import write_report

    show([{"file": str(write_report(folder))}], as_json)


@study_app.command("run")
def study_run(
    file: Annotated[Path, typer.Argument(help="Study file (YAML).")],
    out: OutOption,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, such as limit=20.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and run nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Run a study, or go on with it. Example: `babelscope study run studies/demo.yaml --out runs/demo`"""
    from .plan import plan_study
    from .run import run_study
    from .settings import load_study
    from .study import Study

    study = Study(load_study(file, overrides or []), out)
    if plan:
        stages = [asdict(stage) for stage in plan_study(study)]
        show(stages if as_json else [readable(stage) for stage in stages], as_json, extra={"total": total(stages)})
        return
    with events() as on_event:
        ran = run_study(study, on_event)
    from .findings import verdict
    from .results import read_tables

    verdicts = verdict(read_tables(out / "tables"))
    show([{"report": str(out / "report.html"), "stages_run": len(ran)}], as_json, extra={"verdict": verdicts})


@contextmanager
def _opened(paths: list[Path]) -> Iterator[dict[str, Any]]:
    """Open caches by condition: the first is the base, others are called by their file names."""
    from contextlib import ExitStack

    from .activations.store import Cache

    names = ["base", *(path.stem for path in paths[1:])]
    if len(set(names)) < len(names):
        raise UsageError(f"Conditions are named by their files, and two are alike: {', '.join(names)}. Rename one.")
    with ExitStack() as stack:
        caches = {name: stack.enter_context(Cache(path)) for name, path in zip(names, paths, strict=True)}
        if len(caches) > 1 and caches["base"].attributes["adapter_sha256"]:
            raise UsageError(f"{paths[0]} was made with an adapter. The first cache is the base; give that one first.")
        yield caches


if __name__ == "__main__":
    main()
