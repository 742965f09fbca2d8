"""The page of a study file's keys, from the classes that validate it: types, defaults, and the comments beside them."""

import inspect
import io
import json
import tokenize
from typing import Any

from babelscope import settings
from pydantic import BaseModel

# heading -> class
TABLES: dict[str, type[BaseModel]] = {
    "At the top, and in each test under `tests`": settings.TestSettings,
    "At the top only": settings.StudySettings,
    "An adapter, under `adapters`": settings.AdapterSettings,
    "A context, under `contexts`": settings.ContextSettings,
    "`probes`": settings.ProbeSettings,
}


def study_page() -> str:
    lines = [
        "# Keys of a study file",
        "",
        "What each key may be, as `settings.py` checks it; what they are for is told in [studies](../studies.md).",
        "A file may also say `extends: FILE`, and is then laid over that file, key by key.",
        "",
    ]
    for heading, model in TABLES.items():
        lines += [f"## {heading}", "", "| key | type | default | |", "|---|---|---|---|"]
        comments, schemas = _comments(model), model.model_json_schema()["properties"]
        inherited = {name for base in model.__bases__ for name in getattr(base, "model_fields", {})}
        for name, field in model.model_fields.items():
            if name not in inherited:
                default = "required" if field.is_required() else f"`{_yaml(field.get_default())}`"
                lines.append(f"| `{name}` | `{_kind(schemas[name])}` | {default} | {comments.get(name, '')} |")
        lines.append("")
    return "\n".join(lines)


def _yaml(default: Any) -> str:
    """A default as a study file would say it."""
    if isinstance(default, BaseModel):
        return "see below"
    return json.dumps(default).replace('"', "")


def _kind(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " or ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    kind = str(schema["type"])
    if kind == "array":
        return f"list of {_kind(schema['items'])}"
    if kind == "object":
        return f"name: {_kind(schema['additionalProperties'])}"
    least, most = schema.get("minimum"), schema.get("maximum")
    bounds = f" {least} to {most}" if most is not None else f" >= {least}" if least is not None else ""
    return kind + bounds


def _comments(model: type[BaseModel]) -> dict[str, str]:
    """The comment on each field's line, or on the lines above it."""
    found: dict[str, str] = {}
    above: list[str] = []
    name = ""
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(model)).readline):
        if token.type == tokenize.COMMENT:
            said = token.string.lstrip("# ").replace("None:", "null:")
            if token.line.lstrip().startswith("#"):
                above.append(said)
            else:
                found[name] = said
        elif token.string in model.model_fields and token.line.lstrip().startswith(f"{token.string}:"):
            name = token.string
            if above:
                found[name], above = " ".join(above), []
    return found
