"""`babelscope study run | watch`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..terminal import as_records, confirm_size, events, hint, progress, readable, show, total, watch
from .options import JsonOption, OutOption, YesOption

if TYPE_CHECKING:
    from ..study.stages import Study

app = typer.Typer(help="Studies: train, cache, probe and plot from one file.", no_args_is_help=True)


@app.command("run")
def study_run(
    file: Annotated[Path, typer.Argument(help="Study file (YAML).")],
    out: OutOption,
    overrides: Annotated[list[str] | None, typer.Option("--set", help="key=value, such as limit=20.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would run, and run nothing.")] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a study, or go on with it. Example: `babelscope study run studies/demo.yaml --out runs/demo`"""
    from ..settings import load_study
    from ..study.plan import plan_study
    from ..study.run import run_study
    from ..study.stages import Study

    study = Study(load_study(file, overrides or []), out)
    if plan:
        with progress("plan", "stages") as report:
            stages = [asdict(stage) for stage in plan_study(study, report)]
        show(stages if as_json else [readable(stage) for stage in stages], as_json, extra={"total": total(stages)})
        given = [word for override in overrides or [] for word in ("--set", override)]
        hint("study run, planned", as_json, file=file, out=out, overrides=given)
        return
    if not yes:
        _confirm_size(study)
    with events() as on_event:
        ran = run_study(study, on_event)
    from ..explaining.findings import verdict
    from ..results import read_tables

    verdicts = verdict(read_tables(out / "tables"))
    show([{"report": str(out / "report.html"), "stages_run": len(ran)}], as_json, extra={"verdict": verdicts})
    hint("study run", as_json, out=out)


def _confirm_size(study: "Study") -> None:
    """Ask before caches are written that can take far more disk than what is kept by default."""
    from ..activations.layout import KEPT, array_name
    from ..study.plan import plan_study

    arrays = [array_name(name) for name in study.settings.keep]
    if set(arrays) <= set(KEPT):
        return
    todo = [stage for stage in plan_study(study) if stage.state != "complete"]
    if n_bytes := sum(stage.disk for stage in todo if stage.name.startswith("cache ")):
        confirm_size(study.folder, n_bytes, arrays)


@app.command("watch")
def study_watch(
    folder: Annotated[Path, typer.Argument(help="The --out of a study that runs, or has run.")],
    once: Annotated[bool, typer.Option("--once", help="Show it as it is now, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Follow a study until it ends. Example: `babelscope study watch runs/demo`"""
    from ..study.journal import standing

    if as_json:
        now = standing(folder)
        show([asdict(stage) for stage in now.stages], True, extra=as_records(now))
    else:
        now = watch(folder, once)
    endings = {"running": "study watch", "finished": "study watch, finished"}
    hint(endings.get(now.state, "study watch, ended"), as_json, folder=folder)
    if now.state in ("failed", "stopped"):
        sys.exit(1)
