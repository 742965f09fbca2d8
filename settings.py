"""A study file: what it may say, read and validated before anything heavy starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .errors import UsageError
from .training.recipe import PRESETS, Recipe

Names = str | list[str]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AdapterSettings(_Strict):
    """How one adapter is trained. Its name in the study is the name of its condition."""

    pairs: Annotated[list[str], Field(min_length=1)]  # directions such as zh-en
    number: Annotated[int, Field(ge=2)] = 150  # question pairs per direction
    task: str | None = None  # whose questions; None: the study's task
    data: Path | None = None  # the authors' files; None: the study's data
    preset: str = "laptop"
    recipe: dict[str, float | int] = {}  # single settings of the preset that are to differ


class ProbeSettings(_Strict):
    """What the analyses look at; see analyses.Settings."""

    names: Annotated[list[str], Field(min_length=1)] = ["accuracy", "logit-lens", "pca", "umap", "alignment"]
    draws: Annotated[int, Field(ge=100)] = 5000  # bootstrap samples
    pivot: str = "en"
    layers: list[int] | None = None
    panels: Annotated[int, Field(ge=1, le=5)] = 5  # layers that projections show
    lens_limit: Annotated[int, Field(ge=1)] | None = None  # ids per language for the logit lens


class StudySettings(_Strict):
    """A study file."""

    name: str
    model: str
    adapters: dict[str, AdapterSettings]
    task: str = "sentiment"
    data: Path | None = None  # folder with the authors' files; None: the built-in text
    languages: Names = "all"
    shots: Annotated[int, Field(ge=0)] = 2
    limit: Annotated[int, Field(ge=1)] | None = None  # examples per language
    dtype: str = "auto"  # of the computation; auto stores states as bfloat16
    device: str = "auto"
    seed: int = 0
    probes: ProbeSettings = ProbeSettings()


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudySettings:
    """Read and validate a study file; `overrides` are `key=value`, keys dotted, values YAML.

    Raises:
        UsageError: no such file, no YAML, or a key that is wrong: each one is named with what was expected.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Study file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"Study file {path} is not UTF-8: {error}") from error
    raw = _parse(text, f"Study file {path}")
    if not isinstance(raw, dict):
        raise UsageError(f"Study file {path} holds no settings; expected keys such as `model:` and `adapters:`.")
    for override in overrides:
        _override(raw, override)
    return validate_study(raw, str(path))


def validate_study(raw: Mapping[str, Any], where: str) -> StudySettings:
    try:
        settings = StudySettings.model_validate(raw)
    except ValidationError as error:
        faults = [f"  {_place(e)}: {e['msg']} (found {e['input']!r:.60})" for e in error.errors()]
        raise UsageError(f"{where} has {len(faults)} wrong setting(s):\n" + "\n".join(faults)) from error
    for name, adapter in settings.adapters.items():
        if name == "base" or not name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"{where}: adapters.{name}: a name is letters, digits, - and _, and not `base`.")
        try:
            recipe_of(adapter)
        except UsageError as error:
            raise UsageError(f"{where}: adapters.{name}: {error}") from error
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


def _place(fault: Any) -> str:
    return ".".join(map(str, fault["loc"]))


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
    except yaml.YAMLError as error:
        raise UsageError(f"{where} is not valid YAML: {error}") from error


def _override(raw: dict[str, Any], text: str) -> None:
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise UsageError(f"--set {text!r} is not of the form key=value, such as limit=20 or probes.draws=200.")
    *path, last = key.split(".")
    place = raw
    for part in path:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise UsageError(f"--set {text!r}: {part!r} holds no further settings.")
    place[last] = _parse(value, f"--set {text!r}")
