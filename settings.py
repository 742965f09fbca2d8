"""A study file: what it may say, read and validated before anything heavy starts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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

    names: list[str] = ["accuracy", "logit-lens", "pca", "umap", "alignment"]
    draws: Annotated[int, Field(ge=100)] = 5000  # bootstrap samples
    pivot: str = "en"
    layers: list[int] | None = None
    panels: Annotated[int, Field(ge=1)] = 5  # layers that projections show
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
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"Study file {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"Study file {path} is not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise UsageError(f"Study file {path} holds no settings; expected keys such as `model:` and `adapters:`.")
    for override in overrides:
        _override(raw, override)
    return validate_study(raw, str(path))


def validate_study(raw: Mapping[str, Any], where: str) -> StudySettings:
    try:
        settings = StudySettings.model_validate(raw)
    except ValidationError as error:
        faults = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']} (found {e['input']!r:.60})" for e in error.errors()]
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
    preset = PRESETS[adapter.preset]
    for key, value in adapter.recipe.items():
        if key not in asdict(preset):
            raise UsageError(f"recipe.{key} is unknown. Known: {', '.join(asdict(preset))}.")
        if not value > 0 and key not in ("dropout", "warmup", "learning_rate"):
            raise UsageError(f"recipe.{key} must be above 0; it is {value}.")
    return replace(preset, **adapter.recipe)  # type: ignore[arg-type]


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
    place[last] = yaml.safe_load(value)
