"""A study file: what it may say, read and validated before anything heavy starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .errors import UsageError, did_you_mean
from .training.recipe import PRESETS, Recipe

Names = str | list[str]
Directions = Annotated[list[str], Field(min_length=1)]
TRANSLATE_TEST = "translate-test"  # the name of that control in tables


def _different(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed occurs twice; repeats must differ")
    return seeds


Seeds = Annotated[list[int], AfterValidator(_different)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TestSettings(_Strict):
    """What every condition is asked, and how. At the top of a study file these are the defaults of all its tests."""

    __test__ = False  # pytest: this is no test class

    task: str = "sentiment"
    data: str | None = None  # authors' folder, JSONL, CSV or a dataset map; None: the built-in text
    shots: Annotated[int, Field(ge=0, le=8)] | None = None  # None: as many as in arXiv 2405.13816 (2, 6 or 4)
    limit: Annotated[int, Field(ge=1)] | None = None  # examples per language
    words: str | list[str] = "english"  # answers: english, own (language), or one word per label, such as [ox, horse]
    scoring: Literal["full", "paper"] = "full"  # a word's whole token sequence, or the paper's sum over its beginnings
    instruction: str = "own"  # language of the words around a question: own, or a code
    demonstrations: Literal["written", "training"] = "written"  # where they come from
    demonstrations_in: str = "own"  # their language: own, or a code
    demonstration_seeds: Seeds = []  # one repeat each, averaged; none: the first demonstrations, in order


class AdapterSettings(_Strict):
    """How one adapter is trained. Its name in the study is the name of its condition."""

    pairs: Directions  # directions such as zh-en; languages such as en for the objective `answer`
    number: Annotated[int, Field(ge=2)] | Literal["all"] = 150  # question pairs per direction
    objective: Literal["translate", "copy", "shuffle", "answer"] = "translate"
    cross_task: str | None = None  # whose questions, if not the study's own task
    data: str | None = None  # where questions come from, or built-in; None: the study's data, or else the built-in text
    preset: str = "laptop"
    recipe: dict[str, float | int] = {}  # single settings of the preset that are to differ
    seeds: Seeds = []  # one adapter each, averaged; none: the study's seed
    control: str | None = None  # adapter it is compared with beside the base; None: the copy of the same questions
    tests: Annotated[list[str], Field(min_length=1)] | None = None  # which tests it is asked; None: all


class ContextSettings(_Strict):
    """An untrained control: translation pairs to read before the demonstrations."""

    pairs: Directions
    number: Annotated[int, Field(ge=1)] = 2  # per direction
    tests: Annotated[list[str], Field(min_length=1)] | None = None


class ProbeSettings(_Strict):
    """What the analyses look at; see analyses.Settings."""

    names: list[str] = ["accuracy", "logit-lens", "alignment", "linear", "pca", "umap"]
    draws: Annotated[int, Field(ge=100)] = 5000  # bootstrap samples
    pivot: str = "en"
    layers: list[int] | None = None
    panels: Annotated[int, Field(ge=1, le=5)] = 5  # layers that projections show
    lens_limit: Annotated[int, Field(ge=1)] | None = None  # ids per language for the logit lens


class StudySettings(TestSettings):
    """A study file."""

    name: str
    model: str
    adapters: dict[str, AdapterSettings] = {}
    contexts: dict[str, ContextSettings] = {}
    translate_test: str | None = None  # language whose examples answer for their translations (an oracle translator)
    tests: dict[str, TestSettings] = {}  # several tests; none: one, of the settings above
    languages: Names = "all"
    # Positions whose residual stream is cached (last, mean, all), or arrays of other streams (neurons/last); [] keeps
    # scores alone.
    keep: list[str] = ["last", "mean"]
    check: bool = True  # ask the quick checks of `models doctor` of every adapter before it is cached
    dtype: str = "auto"  # of the computation, or of the weights (int8, nf4); all but float32 store states as bfloat16
    device: str = "auto"  # auto, a torch device, or balanced: layers divided over all GPUs
    seed: int = 0
    probes: ProbeSettings = ProbeSettings()

    def every_test(self) -> dict[str, TestSettings]:
        """Each test with the study's defaults filled in; a study without `tests` has one, named after its task."""
        defaults = {name: getattr(self, name) for name in TestSettings.model_fields}
        if not self.tests:
            return {self.task: TestSettings(**defaults)}
        return {
            name: TestSettings(**defaults | {key: getattr(test, key) for key in test.model_fields_set})
            for name, test in self.tests.items()
        }


@dataclass(frozen=True)
class Condition:
    """A model state that is asked the tests: the base, one trained adapter, or the base with pairs to read."""

    name: str  # of its files: `zh-en`, or `zh-en@1` for its seed 1
    group: str  # as the study file calls it; conditions of one group are repeats
    adapter: AdapterSettings | None = None
    context: ContextSettings | None = None
    seed: int = 0
    tests: tuple[str, ...] = ()


def conditions(settings: StudySettings) -> list[Condition]:
    """All conditions of a study, the base first."""
    every = tuple(settings.every_test())
    found = [Condition("base", "base", tests=every)]
    for group, adapter in settings.adapters.items():
        for seed in adapter.seeds or [settings.seed]:
            name = f"{group}@{seed}" if len(adapter.seeds) > 1 else group
            asked = tuple(adapter.tests) if adapter.tests is not None else every
            found.append(Condition(name, group, adapter, seed=seed, tests=asked))
    for group, context in settings.contexts.items():
        found.append(
            Condition(group, group, context=context, tests=tuple(context.tests) if context.tests is not None else every)
        )
    return found


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudySettings:
    """Read and validate a study file; `overrides` are `key=value`, keys dotted, values YAML.

    A file may say `extends: FILE`: what it says itself is laid over that file's settings, key by key.

    Raises:
        UsageError: no such file, no YAML, or a key that is wrong: each one is named with what was expected.
    """
    raw = _read(path)
    for override in overrides:
        _override(raw, override)
    return validate_study(raw, str(path))


def validate_study(raw: Mapping[str, Any], where: str) -> StudySettings:
    try:
        settings = StudySettings.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(e) for e in error.errors()]
        raise UsageError(f"{where} has {len(faults)} wrong setting(s):\n" + "\n".join(faults)) from error
    for table in ("adapters", "contexts", "tests"):
        for name in getattr(settings, table):
            if name in ("base", TRANSLATE_TEST) or not re.fullmatch(r"[\w+-]+", name):
                raise UsageError(
                    f"{where}: {table}.{name}: a name is letters, digits, + - and _, and not `base` or "
                    f"`{TRANSLATE_TEST}`, which are taken."
                )
    for name, adapter in settings.adapters.items():
        try:
            recipe_of(adapter)
            _check_adapter(settings, adapter)
        except UsageError as error:
            raise UsageError(f"{where}: adapters.{name}: {error}") from error
    for name in settings.contexts.keys() & settings.adapters.keys():
        raise UsageError(f"{where}: {name!r} names both an adapter and a context.")
    for condition in conditions(settings):
        for test in condition.tests:
            if test not in settings.every_test():
                known = ", ".join(settings.every_test())
                raise UsageError(
                    f"{where}: {condition.group}.tests: {test!r} is no test of this study. It has: {known}."
                )
    return settings


def recipe_of(adapter: AdapterSettings) -> Recipe:
    """The preset with the adapter's own settings put in."""
    if adapter.preset not in PRESETS:
        raise UsageError(f"preset {adapter.preset!r} is unknown. Known: {', '.join(PRESETS)}.")
    preset = asdict(PRESETS[adapter.preset])
    for key in adapter.recipe:
        if key not in preset:
            raise UsageError(f"recipe.{key} is unknown. Known: {', '.join(preset)}.")
    try:
        return TypeAdapter(Recipe).validate_python(preset | adapter.recipe)
    except ValidationError as error:
        raise UsageError(
            "; ".join(f"recipe.{_place(e)}: {e['msg']} (found {e['input']!r})" for e in error.errors())
        ) from error


def _check_adapter(settings: StudySettings, adapter: AdapterSettings) -> None:
    from .tasks import directions_of

    found = directions_of(adapter.pairs, adapter.objective)
    if adapter.cross_task == settings.task:
        raise UsageError(
            f"cross_task {adapter.cross_task!r} is the study's own task. Name another one, or leave cross_task out."
        )
    if adapter.control is not None and adapter.control not in settings.adapters:
        raise UsageError(f"control {adapter.control!r} is no adapter of this study: {', '.join(settings.adapters)}.")
    if len(set(found)) < len(found):
        raise UsageError(f"pairs {adapter.pairs} repeat a direction.")


def _read(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Study file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"Study file {path} is not UTF-8: {error}") from error
    raw = _parse(text, f"Study file {path}")
    if not isinstance(raw, dict):
        raise UsageError(f"Study file {path} holds no settings; expected keys such as `model:` and `adapters:`.")
    if (parent := raw.pop("extends", None)) is None:
        return raw
    parent = (path.parent / str(parent)).resolve()
    if parent in (chain := (*above, path.resolve())):
        raise UsageError(f"Study file {path} extends {parent}, which extends it.")
    return _laid_over(_read(parent, chain), raw)


def _laid_over(under: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`under` with what `over` says, mapping by mapping; null takes a key out."""
    merged = dict(under)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = _laid_over(merged[key], value)
        else:
            merged[key] = value
    return merged


def _fault(fault: Any) -> str:
    text = f"  {_place(fault)}: {fault['msg']} (found {fault['input']!r:.60})"
    if fault["type"] == "extra_forbidden":
        known = [
            name
            for model in (StudySettings, AdapterSettings, ContextSettings, ProbeSettings)
            for name in model.model_fields
        ]
        wrong = str(fault["loc"][-1])
        text += did_you_mean(wrong, (name for name in known if name != wrong))
    return text


def _place(fault: Any) -> str:
    return ".".join(map(str, fault["loc"]))


# What PyYAML lets out where a tag does not fit its value, or lists are nested too deep.
YAML_FAILS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class _Loader(yaml.SafeLoader):
    """YAML in which only true and false are booleans: `no` is Norwegian."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(?:true|false)$"), list("tf"))


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader
    except (yaml.YAMLError, *YAML_FAILS) as error:
        raise UsageError(f"{where} is not valid YAML: {str(error) or type(error).__name__}") from error


def _override(raw: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"--set {text!r} is not of the form key=value, such as limit=20 or probes.draws=200.")
    *path, last = key.split(".")
    place = raw
    for part in path:
        if not isinstance(place.setdefault(part, {}), dict):
            raise UsageError(f"--set {text!r}: {part!r} holds no further settings.")
        place[part] = dict(place[part])  # an anchor of YAML may share it with other keys
        place = place[part]
    place[last] = _parse(value, f"--set {text!r}")
