"""A study: ordered stages that leave one folder of results.

A stage is skipped when its results are there and were made from the same inputs. Adapters and caches say of
themselves what made them; tables and figures have a small record in `.stages/`. Anything cut short is under a
temporary name and is done again.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import StudyError, UsageError
from ..fingerprints import sha256_of, sha256_of_files
from ..progress import Progress
from ..reports.writing import write_report
from ..results import draw_figures, draw_training, write_grid, write_tables, write_text
from ..settings import AdapterSettings, Condition, StudySettings, TestSettings, conditions, recipe_of

if TYPE_CHECKING:
    from ..models import Model


@dataclass(frozen=True)
class Stage:
    """One step: whether its results are there, and how to make them."""

    name: str
    done: Callable[[], bool]
    run: Callable[[Progress], None]
    unit: str = "parts"  # that its progress counts
    shared: bool = False  # by all processes of a run under torchrun; else the first one does it alone


@dataclass(frozen=True)
class Asked:
    """One way in which every condition is asked: a test, and one of its demonstration seeds."""

    name: str  # of its files: `nli`, or `nli@1` for its demonstration seed 1
    test: str
    settings: TestSettings
    seed: int | None


@dataclass(frozen=True)
class Study:
    """Settings bound to a folder. `stages` lists what there is to do; `run_study` does it."""

    settings: StudySettings
    folder: Path

    @cached_property
    def conditions(self) -> list[Condition]:
        return conditions(self.settings)

    @cached_property
    def asked(self) -> list[Asked]:
        found = []
        for name, test in self.settings.every_test().items():
            seeds: list[int | None] = [*test.demonstration_seeds] or [None]
            found += [Asked(f"{name}@{seed}" if len(seeds) > 1 else name, name, test, seed) for seed in seeds]
        return found

    def cells(self) -> list[tuple[Asked, Condition]]:
        """What there is to cache: every condition in the tests that it is asked."""
        return [(asked, c) for c in self.conditions for asked in self.asked if asked.test in c.tests]

    def place(self, kind: str, name: str) -> Path:
        """The folder for `kind` (activations, tables, figures) of one test; the only one has no folder of its own."""
        return self.folder / kind if len(self.asked) == 1 else self.folder / kind / name

    def label(self, test: str, name: str) -> str:
        """What a stage is called after: the only test goes without saying."""
        return name if len(self.asked) == 1 else f"{test}/{name}"

    def cache_path(self, asked: Asked, condition: Condition) -> Path:
        return self.place("activations", asked.name) / f"{condition.name}.h5"

    def adapter_path(self, condition: Condition) -> Path | None:
        return self.folder / "adapters" / condition.name if condition.adapter else None

    def stages(self) -> list[Stage]:
        bench = _Bench(self.settings)
        stages: list[Stage] = []
        for condition in self.conditions:
            if condition.adapter is not None:
                stages += [self._train(condition, bench), self._curve(condition)]
            stages += [self._cache(asked, c, bench) for asked, c in self.cells() if c is condition]
        firsts = {asked.test: asked for asked in reversed(self.asked)}
        for test in self.settings.every_test():
            stages += [self._probe(firsts[test], name) for name in self.settings.probes.names]
        return [*stages, self._grid(), self._report()]

    def request(self, asked: Asked, condition: Condition) -> Any:
        """What a condition is asked: activations.cache.Request."""
        from ..activations.cache import Request, stored_dtype
        from ..activations.layout import array_name
        from ..tasks import KINDS, Asking, load_task, select_languages

        s, test = self.settings, asked.settings
        task = load_task(test.task, test.data)
        asking = Asking(
            shots=KINDS[task.name].shots if test.shots is None else test.shots,
            words=test.words if isinstance(test.words, str) else tuple(test.words),
            instruction=test.instruction,
            demonstrations=test.demonstrations,
            demonstrations_in=test.demonstrations_in,
            demonstration_seed=asked.seed,
            context=self.context(asked, condition),
        )
        codes = tuple(select_languages(s.languages, task.languages, f"task {test.task!r}"))
        return Request(
            task, codes, asking, test.limit, stored_dtype(s.dtype), s.seed, tuple(array_name(name) for name in s.keep)
        )

    def pairs(self, condition: Condition) -> list[Any]:
        """The training pairs of one adapter."""
        from ..tasks import directions_of, question_pairs

        adapter = _adapter(condition)
        number = None if adapter.number == "all" else adapter.number
        directions = directions_of(adapter.pairs, adapter.objective)
        task, _ = self.questions(condition)
        return question_pairs(task, directions, number, condition.seed, adapter.objective)

    def questions(self, condition: Condition) -> tuple[Any, str]:
        """The task whose questions an adapter is trained on, and where they come from."""
        adapter = _adapter(condition)
        name = adapter.cross_task or self.settings.task
        if adapter.data is not None:
            from ..tasks import load_task

            return load_task(name, None if adapter.data == BUILT_IN else adapter.data), adapter.data
        return question_source(name, self.settings, adapter.pairs, adapter.objective)

    def context(self, asked: Asked, condition: Condition) -> tuple[Any, ...]:
        """The pairs that a condition reads before the demonstrations."""
        from ..tasks import directions_of, question_pairs

        if condition.context is None:
            return ()
        texts = condition.context.pairs
        task, _ = question_source(asked.settings.task, asked.settings, texts)
        return tuple(question_pairs(task, directions_of(texts), condition.context.number, seed=self.settings.seed))

    def train_set(self, condition: Condition) -> str:
        """What a condition was trained on, in a few words: `zh+es to en`."""
        settings = condition.adapter or condition.context
        if settings is None:
            return "none"
        parts = [text.split("-") for text in settings.pairs]
        sources, targets = ("+".join(dict.fromkeys(part[side] for part in parts)) for side in (0, -1))
        if condition.context:
            return f"none, {sources} to {targets} in context"
        adapter = _adapter(condition)
        wording = {
            "translate": f"{sources} to {targets}",
            "copy": f"{sources} copied",
            "shuffle": f"{sources} to {targets}, shuffled",
            "answer": f"{sources} answers",
        }
        return wording[adapter.objective] + (f" ({adapter.cross_task} questions)" if adapter.cross_task else "")

    def trained(self, condition: Condition) -> frozenset[str]:
        """Languages in the pairs that a condition was trained on, or reads before the demonstrations."""
        from ..tasks import directions_of

        settings = condition.adapter or condition.context
        if settings is None:
            return frozenset()
        objective = condition.adapter.objective if condition.adapter else "translate"
        directions = directions_of(settings.pairs, objective)
        if objective == "copy":  # the target is not read
            return frozenset(source for source, _ in directions)
        return frozenset(code for direction in directions for code in direction)

    def against(self) -> dict[str, list[str]]:
        """What each condition is compared with: the base, and an adapter its controls."""
        compared = {condition.group: ["base"] for condition in self.conditions[1:]}
        for name, adapter in self.settings.adapters.items():
            compared[name] += [adapter.control] if adapter.control else self._untranslated(adapter)
        return compared

    def _untranslated(self, adapter: AdapterSettings) -> list[str]:
        """The adapters that were trained on the same questions, copied or shuffled."""

        def questions(one: AdapterSettings) -> tuple[object, ...]:
            return sorted(one.pairs), one.number, one.cross_task, one.data

        others = {name: one for name, one in self.settings.adapters.items() if one.objective in ("copy", "shuffle")}
        wanted = questions(adapter) if adapter.objective == "translate" else None
        return [name for name, one in others.items() if questions(one) == wanted]

    def _train(self, condition: Condition, bench: "_Bench") -> Stage:
        from ..models import adapter_inputs, resolve
        from ..models.compute import choose_compute

        out = self.folder / "adapters" / condition.name
        recipe = recipe_of(_adapter(condition))

        def done() -> bool:
            from ..training import training_inputs

            if not out.exists():
                return False
            precision = choose_compute(self.settings.device, self.settings.dtype).precision
            folder = resolve(self.settings.model)
            wanted = training_inputs(folder, precision, self.pairs(condition), recipe, condition.seed)
            _same(adapter_inputs(out), wanted, out)
            return True

        def run(on_progress: Progress) -> None:
            from ..training import train

            train(bench.base(), self.pairs(condition), recipe, out, seed=condition.seed, on_progress=on_progress)

        return Stage(f"train {condition.name}", done, run, "steps", shared=True)

    def _curve(self, condition: Condition) -> Stage:
        name = condition.name
        table = self.folder / "adapters" / name / "training.csv"

        def inputs() -> dict[str, Any]:
            return {"training": sha256_of_files(table.parent, table.name)}

        def run(on_progress: Progress) -> None:
            self._record(record_of(f"curve {name}"), inputs(), draw_training(table, self.folder / "figures", name))

        return Stage(f"curve {name}", lambda: self._recorded(record_of(f"curve {name}"), inputs()), run)

    def _cache(self, asked: Asked, condition: Condition, bench: "_Bench") -> Stage:
        path, adapter = self.cache_path(asked, condition), self.adapter_path(condition)

        def done() -> bool:
            from ..activations.cache import cache_identity
            from ..activations.store import reusable
            from ..models import resolve
            from ..models.compute import choose_compute

            if not path.exists() or (adapter and not adapter.exists()):
                return False
            precision = choose_compute(self.settings.device, self.settings.dtype).precision
            return reusable(
                path, cache_identity(resolve(self.settings.model), adapter, precision, self.request(asked, condition))
            )

        def run(on_progress: Progress) -> None:
            from ..activations.cache import write_cache
            from ..models import adapted

            request = self.request(asked, condition)
            with adapted(bench.base(), adapter) as model:
                bench.check(model, request)
                write_cache(model, request, path, on_progress)

        return Stage(f"cache {self.label(asked.name, condition.name)}", done, run, "prompts", shared=True)

    def _probe(self, asked: Asked, name: str) -> Stage:
        from ..analyses import ANALYSES

        label = self.label(asked.test, name)
        record = record_of(f"probe {label}")

        def done() -> bool:
            return self._recorded(record, self._probe_inputs(asked, name))

        def run(on_progress: Progress) -> None:
            from ..analyses import analyse

            with self._open_caches(asked) as caches:
                tables = analyse(name, caches, self._analysis_settings(asked), on_progress)
            outputs = [
                *write_tables(tables, self.place("tables", asked.test)),
                *draw_figures(tables, self.place("figures", asked.test)),
            ]
            self._record(record, self._probe_inputs(asked, name), outputs)

        return Stage(f"probe {label}", done, run, ANALYSES[name].unit)

    def _grid(self) -> Stage:
        def inputs() -> dict[str, Any]:
            paths = [self.cache_path(asked, condition) for asked, condition in self.cells()]
            caches = {str(path.relative_to(self.folder)): self._identity(path) for path in paths}
            return {"caches": caches, "against": self.against(), "settings": self._asked_settings()}

        def run(on_progress: Progress) -> None:
            from ..analyses.grid import CellFiles, grid

            files = [
                CellFiles(
                    test,
                    group,
                    self.train_set(members[0]),
                    self.trained(members[0]),
                    settings.scoring,
                    tuple(self.cache_path(a, c) for a, c in self.cells() if a.test == test and c.group == group),
                )
                for test, settings in self.settings.every_test().items()
                for group, members in self._groups().items()
                if test in members[0].tests
            ]
            settings = self._analysis_settings(self.asked[0])
            tables = grid(files, self.against(), settings, self.settings.translate_test, on_progress)
            outputs = [
                *write_tables(tables, self.folder / "tables"),
                *write_grid(tables, self.folder / "tables"),
                *draw_figures(tables, self.folder / "figures"),
            ]
            self._record("grid", inputs(), outputs)

        return Stage("grid", lambda: self._recorded("grid", inputs()), run)

    def _groups(self) -> dict[str, list[Condition]]:
        groups: dict[str, list[Condition]] = {}
        for condition in self.conditions:
            groups.setdefault(condition.group, []).append(condition)
        return groups

    def _probed(self, asked: Asked) -> list[Condition]:
        """The conditions that analyses of one test compare: one repeat each, all reading the same prompts."""
        firsts = [members[0] for members in self._groups().values()]
        return [c for c in firsts if asked.test in c.tests and c.context is None]

    def _probe_inputs(self, asked: Asked, name: str) -> dict[str, Any]:
        """What an analysis depends on: the caches' own fingerprints, and the settings."""
        caches = {c.name: self._identity(self.cache_path(asked, c)) for c in self._probed(asked)}
        settings = self.settings.probes.model_dump(mode="json", exclude={"names"}) | {"seed": self.settings.seed}
        settings["scoring"] = asked.settings.scoring
        return {"analysis": name, "caches": caches, "settings": settings, "version": version("babelscope")}

    def _identity(self, path: Path) -> dict[str, Any] | None:
        from ..activations.layout import IDENTITY
        from ..activations.store import Cache

        if not path.exists():
            return None
        with Cache(path) as cache:
            return {field: cache.attributes[field] for field in IDENTITY}

    def _asked_settings(self) -> dict[str, Any]:
        s = self.settings
        return {
            "scoring": {name: test.scoring for name, test in s.every_test().items()},
            "translate_test": s.translate_test,
            "draws": s.probes.draws,
            "seed": s.seed,
            "version": version("babelscope"),
        }

    def _report(self) -> Stage:
        def inputs() -> dict[str, Any]:
            marks = sorted((self.folder / ".stages").glob("*.json"))
            return {path.stem: path.read_text(encoding="utf-8") for path in marks if path.stem != "report"}

        def run(on_progress: Progress) -> None:
            self._record("report", inputs(), [write_report(self.folder, on_progress=on_progress)])

        return Stage("report", lambda: self._recorded("report", inputs()), run)

    @contextmanager
    def _open_caches(self, asked: Asked) -> Iterator[dict[str, Any]]:
        from ..activations.store import Cache

        with ExitStack() as stack:
            yield {c.name: stack.enter_context(Cache(self.cache_path(asked, c))) for c in self._probed(asked)}

    def _analysis_settings(self, asked: Asked) -> Any:
        from ..analyses import Settings

        p = self.settings.probes
        layers = tuple(p.layers) if p.layers is not None else None
        scoring = asked.settings.scoring
        return Settings(
            p.draws,
            self.settings.seed,
            p.pivot,
            layers,
            p.panels,
            scoring=scoring,
            lens_limit=p.lens_limit,
            device=self.settings.device,
            scratch=self.place("activations", asked.name) / ".parts",
        )

    def _recorded(self, stage: str, inputs: dict[str, Any]) -> bool:
        path = self.folder / ".stages" / f"{stage}.json"
        if not path.is_file():
            return False
        record = json.loads(path.read_text(encoding="utf-8"))
        return record["inputs_sha256"] == sha256_of(inputs) and all(
            (self.folder / output).is_file() for output in record["outputs"]
        )

    def _record(self, stage: str, inputs: dict[str, Any], outputs: Sequence[Path]) -> None:
        """Note what a stage made of what; what it made before and no longer makes is removed."""
        path = self.folder / ".stages" / f"{stage}.json"
        names = [str(output.relative_to(self.folder)) for output in outputs]
        for name in set(self._outputs(path)) - set(names):
            (self.folder / name).unlink(missing_ok=True)
        write_text(path, json.dumps({"inputs_sha256": sha256_of(inputs), "outputs": names}, indent=2))

    def drop_foreign(self, stages: Sequence[Stage]) -> None:
        """Remove tables and figures of stages that this study no longer has: a report would show them as its own."""
        own = {record_of(stage.name) for stage in stages}
        for path in (self.folder / ".stages").glob("*.json"):
            if path.stem not in own:
                for name in self._outputs(path):
                    (self.folder / name).unlink(missing_ok=True)
                path.unlink()

    def _outputs(self, record: Path) -> list[str]:
        outputs: list[str] = json.loads(record.read_text(encoding="utf-8"))["outputs"] if record.is_file() else []
        return outputs


BUILT_IN = "built-in"


class _Bench:
    """The base model, opened when first needed; adapters are put into it and taken out again."""

    def __init__(self, settings: StudySettings) -> None:
        self._settings = settings
        self._model: Model | None = None
        self._checked: set[Path | None] = set()

    def base(self) -> "Model":
        from ..models import open_model

        if self._model is None:
            s = self._settings
            self._model = open_model(s.model, dtype=s.dtype, device=s.device)
        return self._model

    def check(self, model: "Model", request: Any) -> None:
        """Once for every adapter."""
        from ..activations.doctor import require_sound

        if self._settings.check and model.adapter not in self._checked:
            first = request.languages[0]
            require_sound(model, request.prompts()[first][:2], request.answer_words(first))
            self._checked.add(model.adapter)


def record_of(stage: str) -> str:
    """The file in `.stages/` that tells of a stage."""
    return stage.replace(" ", "-").replace("/", "-")


def question_source(
    name: str, settings: TestSettings, pairs: list[str], objective: str = "translate"
) -> tuple[Any, str]:
    """The task that has questions for all `pairs`, and where it comes from.

    Data of a study's own may hold test files only: the built-in questions, which share no text with them, then stand
    in, and plan and manifest say so.
    """
    from ..tasks import OBJECTIVES, directions_of, load_task

    data = settings.data
    # A file holds one task, the authors' folder may hold several.
    if data is not None and (name == settings.task or Path(data).is_dir()):
        try:
            task = load_task(name, data)
        except UsageError:  # there is nothing of this task
            return load_task(name), BUILT_IN
        if all(OBJECTIVES[objective](task, *direction) for direction in directions_of(pairs, objective)):
            return task, data
    return load_task(name), BUILT_IN


def _adapter(condition: Condition) -> AdapterSettings:
    if condition.adapter is None:
        raise TypeError(f"condition {condition.name!r} trains nothing")
    return condition.adapter


def _same(found: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    for field, value in wanted.items():
        if found.get(field) != value:
            raise StudyError(
                f"{path} was made with another {field}: it has {found.get(field)!r:.80}, this study asks for "
                f"{value!r:.80}. Choose another --out, or move it away."
            )
