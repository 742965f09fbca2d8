"""After a command, the one that sensibly follows."""

import re
import shlex
import sys
from pathlib import Path

from .levels import is_quiet, is_verbose

# Command -> what follows it, or None where nothing does. What stands behind a comma is a case of the command. A part in
# square brackets is left out where one of its values is missing.
HINTS: dict[str, str | None] = {
    "models list": "babelscope models import gemma-3-270m",
    "models import": "babelscope models doctor {name}",
    "models doctor": "babelscope cache --model {name}[ --adapter {adapter}] --task {task} --out base.h5",
    "models doctor, failed": None,  # each finding says what was expected
    "tasks list": "babelscope tasks show sentiment --languages zh,sw",
    "tasks show": "babelscope tasks check[ {data}] --task {task}",
    "tasks check": "babelscope cache --model gemma-3-270m --task {task}[ --data {file}] --out base.h5",
    "tasks check, faults": None,  # they are to be mended in the file
    "train": "babelscope cache --model {model} --adapter {out} --task {task} --out aligned.h5",
    "cache": "babelscope eval {out}",
    "cache, adapted": "babelscope eval {base} {out}",
    "cache ls": "babelscope cache info {first}",
    "cache ls, none": "babelscope cache --model gemma-3-270m --out base.h5",
    "cache info": "babelscope cache verify {cache}",
    "cache verify": "babelscope eval {caches}",
    "cache verify, damaged": "babelscope cache repair {damaged}",
    "cache repair": "babelscope cache verify {cache}",
    "cache merge": "babelscope cache info {out}",
    "cache export": None,  # for other tools
    "cache upgrade": "babelscope cache verify {out}",
    "cache gc": None,
    "cache gc, listed": "babelscope cache gc {folder} --delete",
    "eval": "babelscope probe logit-lens {caches} --out results",
    "probes": "babelscope probe alignment base.h5 aligned.h5 --out results",
    "probe": "babelscope explain {out}",
    "explain": "babelscope report {folder}",
    "plot": None,  # the figures were what was wanted
    "report": None,  # a page to read
    "study run": "babelscope explain {out}",
    "study run, planned": "babelscope study run {file} --out {out}[ {overrides}]",
    "study watch": None,  # it shows the study itself
    "study watch, finished": "babelscope explain {folder}",
    "study watch, ended": "babelscope study run {folder}/study.yaml --out {folder}",
}

Value = str | Path | list[str] | list[Path] | None


def hint(command: str, as_json: bool, **values: Value) -> None:
    """Print what follows `command`, for people: on a terminal, or with --verbose; not for --json."""
    if is_quiet() or as_json or not (sys.stderr.isatty() or is_verbose()):
        return
    template = HINTS[command]
    if template is not None:
        print(f"Next: {filled_in(template, values)}", file=sys.stderr, flush=True)


def filled_in(template: str, values: dict[str, Value]) -> str:
    """The template with its values, quoted for a shell."""

    def optional(part: re.Match[str]) -> str:
        names = re.findall(r"\{(\w+)\}", part[1])
        return part[1] if all(values.get(name) for name in names) else ""

    def put(name: re.Match[str]) -> str:
        value = values[name[1]]
        return shlex.join(map(str, value if isinstance(value, list) else [value]))

    return re.sub(r"\{(\w+)\}", put, re.sub(r"\[(.*?)\]", optional, template))
