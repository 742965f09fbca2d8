"""A study: ordered stages that leave one folder of results.

A stage is skipped when its results are there and were made from the same inputs. Adapters and caches say of
themselves what made them; tables and figures have a small record in `.stages/`. Anything cut short is under a
temporary name and is done again.
"""

import fcntl
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from .errors import StudyError, UsageError
from .fingerprints import sha256_of, sha256_of_files
from .results import draw_figures, draw_training, write_report, write_tables, write_text
from .settings import StudySettings, recipe_of

Progress = Callable[[int, int], None]  # units done, units in all


@dataclass(frozen=True)
class Stage:
    """One step: whether its results are there, and how to make them."""

    name: str
    done: Callable[[], bool]
    run: Callable[[Progress], None]


@dataclass(frozen=True)
class Event:
    """What happens while a study runs; `done` of `total` counts the stage's own units."""

    stage: str
    state: str  # skipped, started, progress, finished
    done: int = 0
    total: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Study:
    """Settings bound to a folder. `stages` lists what there is to do; `run_study` does it."""

    settings: StudySettings
    folder: Path

    @property
    def conditions(self) -> list[str]:
        return ["base", *self.settings.adapters]

    def cache_path(self, condition: str) -> Path:
        return self.folder / "activations" / f"{condition}.h5"

    def adapter_path(self, condition: str) -> Path | None:
        return None if condition == "base" else self.folder / "adapters" / condition

    def check(self) -> None:
        """Name impossible settings before anything heavy starts.

        Raises:
            UsageError, DataError: languages, tasks, pairs, shots or probes that do not exist or do not fit.
        """
        from .analyses import ANALYSES
        from .models import text_config

        request = self.request()
        request.prompts()
        for name in self.settings.adapters:
            self.pairs(name)
        probes = self.settings.probes
        for name in probes.names:
            if name not in ANALYSES:
                raise UsageError(f"probes.names: Unknown probe {name!r}. Known: {', '.join(ANALYSES)}.")
        n_layers = text_config(self.settings.model).num_hidden_layers
        for layer in probes.layers or ():
            if not 0 <= layer <= n_layers:
                raise UsageError(f"probes.layers: Layer {layer} was asked for; the model has layers 0 to {n_layers}.")
        if "alignment" in probes.names and probes.pivot not in request.languages:
            raise UsageError(
                f"probes.pivot: Pivot {probes.pivot!r} is not among the study's languages: "
                f"{' '.join(request.languages)}."
            )

    def stages(self) -> list[Stage]:
        return [
            *(self._train(name) for name in self.settings.adapters),
            *(self._curve(name) for name in self.settings.adapters),
            *(self._cache(name) for name in self.conditions),
            *(self._probe(name) for name in self.settings.probes.names),
            self._report(),
        ]

    def request(self) -> Any:
        """What every condition is asked: activations.cache.Request."""
        from .activations.cache import Request
        from .tasks import load_task, select_languages

        s = self.settings
        task = load_task(s.task, s.data)
        codes = tuple(select_languages(s.languages, task.languages, f"task {s.task!r}"))
        stored = "float32" if s.dtype == "float32" else "bfloat16"
        return Request(task, codes, shots=s.shots, limit=s.limit, dtype=stored, seed=s.seed)

    def pairs(self, name: str) -> list[Any]:
        """The training pairs of one adapter."""
        from .tasks import load_task, parse_direction, question_pairs

        s, adapter = self.settings, self.settings.adapters[name]
        task = load_task(adapter.task or s.task, adapter.data or s.data)
        return question_pairs(task, [parse_direction(text) for text in adapter.pairs], adapter.number, s.seed)

    def _train(self, name: str) -> Stage:
        from .models import adapter_inputs, choose_device, choose_dtype, resolve

        out = self.folder / "adapters" / name
        recipe = recipe_of(self.settings.adapters[name])

        def done() -> bool:
            from .training import training_inputs

            if not out.exists():
                return False
            s = self.settings
            dtype = choose_dtype(s.dtype, choose_device(s.device))
            _same(adapter_inputs(out), training_inputs(resolve(s.model), dtype, self.pairs(name), recipe, s.seed), out)
            return True

        def run(on_progress: Progress) -> None:
            from .models import open_model
            from .training import train

            model = open_model(self.settings.model, dtype=self.settings.dtype, device=self.settings.device)
            train(
                model,
                self.pairs(name),
                recipe,
                out,
                seed=self.settings.seed,
                on_progress=lambda progress, total: on_progress(progress.step, total),
            )

        return Stage(f"train {name}", done, run)

    def _curve(self, name: str) -> Stage:
        table = self.folder / "adapters" / name / "training.csv"

        def inputs() -> dict[str, Any]:
            return {"training": sha256_of_files(table.parent, table.name)}

        def run(on_progress: Progress) -> None:
            self._record(f"curve-{name}", inputs(), draw_training(table, self.folder / "figures", name))
            on_progress(1, 1)

        return Stage(f"curve {name}", lambda: self._recorded(f"curve-{name}", inputs()), run)

    def _cache(self, condition: str) -> Stage:
        path, adapter = self.cache_path(condition), self.adapter_path(condition)

        def done() -> bool:
            from .activations.cache import cache_identity
            from .activations.store import reusable
            from .models import choose_device, choose_dtype, resolve

            if not path.exists() or (adapter and not adapter.exists()):
                return False
            s = self.settings
            dtype = choose_dtype(s.dtype, choose_device(s.device))
            return reusable(path, cache_identity(resolve(s.model), adapter, dtype, self.request()))

        def run(on_progress: Progress) -> None:
            from .activations.cache import write_cache
            from .models import open_model

            s = self.settings
            model = open_model(s.model, adapter, dtype=s.dtype, device=s.device)
            write_cache(model, self.request(), path, on_progress)

        return Stage(f"cache {condition}", done, run)

    def _probe(self, name: str) -> Stage:
        def done() -> bool:
            return self._recorded(f"probe-{name}", self._probe_inputs(name))

        def run(on_progress: Progress) -> None:
            from .analyses import analyse

            with self._open_caches() as caches:
                tables = analyse(name, caches, self._analysis_settings(), on_progress)
            outputs = [
                *write_tables(tables, self.folder / "tables"),
                *draw_figures(tables, self.folder / "figures"),
            ]
            self._record(f"probe-{name}", self._probe_inputs(name), outputs)

        return Stage(f"probe {name}", done, run)

    def _probe_inputs(self, name: str) -> dict[str, Any]:
        """What an analysis depends on: the caches' own fingerprints, and the settings."""
        from .activations.store import IDENTITY, Cache

        identities = {}
        for condition in self.conditions:
            path = self.cache_path(condition)
            if path.exists():
                with Cache(path) as cache:
                    identities[condition] = {field: cache.attributes[field] for field in IDENTITY}
        settings = self.settings.probes.model_dump(mode="json", exclude={"names"}) | {"seed": self.settings.seed}
        return {"analysis": name, "caches": identities, "settings": settings, "version": version("babelscope")}

    def _report(self) -> Stage:
        def inputs() -> dict[str, Any]:
            return {name: self._probe_inputs(name) for name in self.settings.probes.names}

        def run(on_progress: Progress) -> None:
            self._record("report", inputs(), [write_report(self.folder)])
            on_progress(1, 1)

        return Stage("report", lambda: self._recorded("report", inputs()), run)

    @contextmanager
    def _open_caches(self) -> Iterator[dict[str, Any]]:
        from .activations.store import Cache

        with ExitStack() as stack:
            yield {name: stack.enter_context(Cache(self.cache_path(name))) for name in self.conditions}

    def _analysis_settings(self) -> Any:
        from .analyses import Settings

        p = self.settings.probes
        layers = tuple(p.layers) if p.layers is not None else None
        return Settings(p.draws, self.settings.seed, p.pivot, layers, p.panels, lens_limit=p.lens_limit)

    def _recorded(self, stage: str, inputs: dict[str, Any]) -> bool:
        path = self.folder / ".stages" / f"{stage}.json"
        if not path.is_file():
            return False
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["inputs_sha256"] == sha256_of(inputs) and all(
            (self.folder / output).is_file() for output in record["outputs"]
        )

    def _record(self, stage: str, inputs: dict[str, Any], outputs: Sequence[Path]) -> None:
        names = [str(output.relative_to(self.folder)) for output in outputs]
        record = {"inputs_sha256": sha256_of(inputs), "outputs": names}
        write_text(self.folder / ".stages" / f"{stage}.json", json.dumps(record, indent=2))


def run_study(study: Study, on_event: Callable[[Event], None] = lambda event: None) -> list[str]:
    """Run the stages that are not complete, then write manifest.json. Returns the names of the stages that ran.

    Raises:
        StudyError: another process runs in the folder, or it holds results of other settings.
    """
    study.check()
    with _alone(study.folder):
        _check_settings(study)
        ran = []
        stages = study.stages()
        for stage in stages:
            stage.done()  # results of other settings are refused before anything is written
        write_text(study.folder / "study.yaml", yaml.safe_dump(study.settings.model_dump(mode="json"), sort_keys=False))
        for stage in stages:
            if stage.done():
                on_event(Event(stage.name, "skipped"))
                continue
            (study.folder / "manifest.json").unlink(missing_ok=True)
            started = time.perf_counter()
            on_event(Event(stage.name, "started"))

            def progress(done: int, total: int, name: str = stage.name) -> None:
                on_event(Event(name, "progress", done, total))

            stage.run(progress)
            ran.append(stage.name)
            on_event(Event(stage.name, "finished", seconds=time.perf_counter() - started))
        if ran or not (study.folder / "manifest.json").is_file():
            _write_manifest(study)
    return ran


def _same(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    for field, value in wanted.items():
        if found.get(field) != value:
            raise StudyError(
                f"{path} was made with another {field}: it has {found.get(field)!r:.80}, this study asks for "
                f"{value!r:.80}. Choose another --out, or move it away."
            )


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


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the system lets go of it when the process ends, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+", encoding="utf-8")
    except OSError as error:
        raise StudyError(f"{folder} cannot be used as a study's folder: {error.strerror}.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise StudyError(f"{folder} is in use by another run (process {lock.read() or 'unknown'}).") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        _sweep(folder)
        yield


def _sweep(folder: Path) -> None:
    """Remove what an interrupted run left under temporary names; nobody else is writing here."""
    for place in (folder, *(folder / name for name in ("adapters", "activations", "tables", "figures", ".stages"))):
        for left in place.glob(".*.partial*"):
            left.unlink()
    for left in (folder / "adapters").glob(".*/"):
        shutil.rmtree(left)


def _write_manifest(study: Study) -> None:
    files = [p for p in sorted(study.folder.rglob("*")) if p.is_file() and not p.name.startswith(".")]
    names = [p.relative_to(study.folder) for p in files]
    manifest = {
        "study": study.settings.name,
        "command": " ".join(sys.argv),
        "versions": {name: version(name) for name in ("babelscope", "torch", "transformers", "peft", "h5py")},
        "files": {str(n): (study.folder / n).stat().st_size for n in names if n.parts[0] != ".stages"},
    }
    write_text(study.folder / "manifest.json", json.dumps(manifest, indent=2))


@dataclass(frozen=True)
class PlannedStage:
    name: str
    state: str  # complete, or to do
    prompts: int = 0
    tokens: int = 0
    bytes: int = 0


def plan_study(study: Study) -> list[PlannedStage]:
    """What would run, with prompts or pairs, tokens read and bytes left on disk. Opens the tokenizer, not the model."""
    from .models import open_tokenizer, text_config
    from .tasks import translation_instruction

    study.check()
    tokenizer = open_tokenizer(study.settings.model)
    config = text_config(study.settings.model)
    request = study.request()
    prompts = [prompt.full for group in request.prompts().values() for prompt in group]
    width = 2 if request.dtype == "bfloat16" else 4
    states = 2 * len(prompts) * (config.num_hidden_layers + 1) * config.hidden_size * width
    prompt_tokens = sum(map(len, tokenizer(prompts)["input_ids"]))
    rows = []
    for stage in study.stages():
        state = "complete" if stage.done() else "to do"
        kind, _, name = stage.name.partition(" ")
        if kind == "train":
            pairs = study.pairs(name)
            texts = [p.question + translation_instruction(p.source, p.target) + p.translation for p in pairs]
            tokens = sum(map(len, tokenizer(texts)["input_ids"]))
            epochs = recipe_of(study.settings.adapters[name]).epochs
            rows.append(PlannedStage(stage.name, state, len(pairs), tokens * epochs))
        elif kind == "cache":
            rows.append(PlannedStage(stage.name, state, len(prompts), prompt_tokens, states))
        else:
            rows.append(PlannedStage(stage.name, state))
    return rows
