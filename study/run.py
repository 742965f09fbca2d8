"""Run a study: the stages that are not complete, in order, by one process at a time."""

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from importlib.metadata import version

import yaml

from ..errors import StudyError
from ..files import sweep, working_in
from ..progress import Unfinished
from ..ranks import Ranks, current, refuse_fsdp
from ..results import write_text
from .checks import check_study
from .journal import Event, journal
from .stages import Stage, Study


def run_study(study: Study, on_event: Callable[[Event], None] = lambda event: None) -> list[str]:
    """Run the stages that are not complete, then write manifest.json. Returns the names of the stages that ran.

    Raises:
        BusyError: another process runs in the folder.
        StudyError: it holds results of other settings.
    """
    refuse_fsdp("studies")
    check_study(study)
    ranks = current()
    with ranks.leading(working_in(study.folder, StudyError)):
        if ranks.first:
            # Caches and adapters have locks of their own.
            for name in ("tables", "figures", ".stages"):
                for folder in (study.folder / name).glob("**/"):
                    sweep(folder)
        ranks.wait()
        _check_settings(study)
        stages = study.stages()
        for stage in stages:
            stage.done()  # results of other settings are refused before anything is written
        ranks.wait()
        if ranks.first:
            study.drop_foreign(stages)
            settings = study.settings.model_dump(mode="json")
            write_text(study.folder / "study.yaml", yaml.safe_dump(settings, sort_keys=False))
        units = {stage.name: stage.unit for stage in stages}
        with journal(study.folder, units) if ranks.first else nullcontext(lambda event: None) as note:

            def tell(event: Event) -> None:
                note(event)
                on_event(event)

            ran = [stage.name for stage in stages if _run_stage(study, stage, ranks, tell)]
            if ranks.first and (ran or not (study.folder / "manifest.json").is_file()):
                _write_manifest(study)
    return ran


def _run_stage(study: Study, stage: Stage, ranks: Ranks, tell: Callable[[Event], None]) -> bool:
    """Run a stage that is not complete. Returns whether this process had a part in it."""
    complete = stage.done()
    ranks.wait()  # all ranks have looked before one of them writes
    if complete:
        tell(Event(stage.name, "skipped"))
        return False
    if not (stage.shared or ranks.first):
        ranks.wait()
        return False
    (study.folder / "manifest.json").unlink(missing_ok=True)
    started = time.perf_counter()
    tell(Event(stage.name, "started", unit=stage.unit))

    def progress(done: int, total: int, tokens: int = 0) -> None:
        tell(Event(stage.name, "progress", done, total, tokens, stage.unit))

    whole = Unfinished(progress)
    stage.run(whole)
    whole.finish()
    ranks.wait()
    tell(Event(stage.name, "finished", seconds=time.perf_counter() - started))
    return True


def _check_settings(study: Study) -> None:
    """Results of another study are not mixed in."""
    path = study.folder / "study.yaml"
    settings = study.settings.model_dump(mode="json")
    if path.is_file():
        before = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key in ("name", "model", "task"):
            if before.get(key) != settings[key]:
                raise StudyError(
                    f"{study.folder} holds a study with {key} {before.get(key)!r}, not {settings[key]!r}. "
                    "Choose another --out."
                )


def _write_manifest(study: Study) -> None:
    files = [p for p in sorted(study.folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    names = [p.relative_to(study.folder) for p in files]
    manifest = {
        "study": study.settings.name,
        "command": " ".join(sys.argv),
        "versions": {name: version(name) for name in ("babelscope", "torch", "transformers", "peft", "h5py")},
        "questions": {c.name: study.questions(c)[1] for c in study.conditions if c.adapter},
        "files": {str(n): (study.folder / n).stat().st_size for n in names if n.parts[0] != ".stages"},
    }
    write_text(study.folder / "manifest.json", json.dumps(manifest, indent=2))
