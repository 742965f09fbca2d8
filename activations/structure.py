"""Is an index as FORMAT.md says? Asked before anything of it is used: a file may come from a stranger."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from .layout import ARRAYS, EXAMPLE_COLUMNS, FORMAT, IDENTITY, VERSION, array_shapes
from .sealed import Contents

SAFE_NAME = re.compile(r"[^/\\\0]+\.shards")  # a folder beside the index, no path
TEXT = "S"
Shape = tuple[int, ...]


def check_structure(contents: Contents) -> None:
    """Compare attributes and arrays of an index with what the format allows, and their shapes with each other.

    Raises:
        ValueError, KeyError, TypeError: what differs.
    """
    attributes, found = contents.attributes, contents.arrays
    _check_attributes(attributes)
    n, k = len(found["examples/n_tokens"]), len(attributes["labels"])
    languages, m = len(found["prompts/language"]), len(found["content_free/language"])
    s = len(found["shards/seal"])
    expected: dict[str, tuple[Shape, str]] = {f"examples/{name}": ((n,), TEXT) for name in EXAMPLE_COLUMNS}
    expected |= {f"prompts/{name}": ((languages,), TEXT) for name in ("language", "prefix", "slot")}
    expected |= {
        "examples/n_tokens": ((n,), "int32"),
        "examples/n_kept": ((n,), "int32"),
        "labels/name": ((k,), TEXT),
        "labels/logprob": ((n, k), "float32"),
        "labels/prefix_logprob": ((n, k), "float32"),
        "content_free/language": ((m,), TEXT),
        "content_free/logprob": ((m, k), "float32"),
        "content_free/prefix_logprob": ((m, k), "float32"),
        "shards/rows": ((s, 2), "int64"),
        "shards/seal": ((s,), TEXT),
    }
    widths = (attributes["layers"] - 1, attributes["d_model"], attributes["d_mlp"])
    arrays = array_shapes(attributes["arrays"], *widths)
    expected |= {f"chunks/{array.name}": ((s, array.n_layers, 3), "uint64") for array in arrays}
    if odd := expected.keys() ^ found.keys():
        raise ValueError(f"{min(odd)!r:.80} is missing, or does not belong there")
    check_arrays(found, expected)
    rows = found["shards/rows"]
    ends = np.concatenate([[0], rows[:, 1]])
    if n == 0 or s == 0:
        raise ValueError("it holds no examples")
    if (rows[:, 0] != ends[:-1]).any() or (rows[:, 1] <= rows[:, 0]).any() or ends[-1] != n:
        raise ValueError(f"the shards do not cover rows 0 to {n - 1} one after the other")
    if (found["examples/n_kept"] < 0).any():
        raise ValueError("examples/n_kept has numbers below zero")


def check_arrays(found: Mapping[str, np.ndarray], expected: Mapping[str, tuple[Shape, str]]) -> None:
    """Compare arrays with the shape and type that each should have.

    Raises:
        ValueError: one differs, or is missing.
    """
    for name, (shape, kind) in expected.items():
        if name not in found:
            raise ValueError(f"{name} is missing")
        has = found[name]
        if has.shape != shape or (has.dtype.kind != TEXT if kind == TEXT else has.dtype != np.dtype(kind)):
            raise ValueError(f"{name} is {has.dtype} of shape {has.shape}, expected {kind} of {shape}")


def _check_attributes(attributes: dict[str, Any]) -> None:
    found = (attributes.get("format"), attributes.get("version"))
    if found != (FORMAT, VERSION):
        raise ValueError(f"it is not a babelscope cache of version {VERSION}: it says {found!r:.80}")
    wanted = {"layers": int, "d_model": int, "d_mlp": int, "compression": bool}
    wanted |= dict.fromkeys(("shards", "model", "adapter", "task"), str)
    for name, kind in wanted.items():
        if type(attributes.get(name)) is not kind:
            raise ValueError(f"attribute {name} is {attributes.get(name)!r:.40}")
    if missing := set(IDENTITY) - attributes.keys():
        raise ValueError(f"attribute {min(missing)} is missing")
    sizes = (attributes["d_model"], attributes["d_mlp"])
    if not (2 <= attributes["layers"] <= 10_000 and 1 <= sizes[0] <= 1_000_000 and 0 <= sizes[1] <= 1_000_000):
        raise ValueError(f"it says {attributes['layers']} layers of width {attributes['d_model']}")
    if attributes["dtype"] not in ("bfloat16", "float32"):
        raise ValueError(f"dtype {attributes['dtype']!r:.40} is not bfloat16 or float32")
    if not SAFE_NAME.fullmatch(attributes["shards"]):
        raise ValueError(f"its shards are said to lie in {attributes['shards']!r:.60}, which is no folder beside it")
    attributes["shards"].encode()  # a lone surrogate is no name of a folder
    for name in ("arrays", "labels", "languages", "trained_languages"):
        if not isinstance(attributes.get(name), list) or not all(isinstance(item, str) for item in attributes[name]):
            raise ValueError(f"attribute {name} is {attributes[name]!r:.40}")
    if not set(attributes["arrays"]) <= set(ARRAYS):
        raise ValueError(f"arrays {attributes['arrays']!r:.80} are not among {', '.join(ARRAYS)}")
    for name in ("label_words", "answer_words", "asking"):
        if not isinstance(json.loads(attributes[name]), dict):
            raise ValueError(f"attribute {name} is not a JSON object")
