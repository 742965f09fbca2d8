"""Pages of the Python reference: which names mkdocstrings shows, and where; what is said of them are docstrings."""

import ast
from pathlib import Path

import babelscope

ROOT = Path(babelscope.__file__).parent


def python_pages() -> dict[str, str]:
    """Markdown with mkdocstrings' directives, by file name: the public names, and a page for each file of probes/."""
    pages = {"index.md": _public(), "probes/index.md": _probes()}
    for module in probe_modules():
        options = "    options:\n      show_root_heading: false\n      show_root_toc_entry: false\n"
        pages[f"probes/{module}.md"] = f"# {module}\n\n::: babelscope.probes.{module}\n{options}"
    return pages


def probe_modules() -> list[str]:
    return sorted(path.stem for path in (ROOT / "probes").glob("*.py") if path.stem != "__init__")


def _public() -> str:
    entries = "".join(f"::: babelscope.{name}\n    options:\n      heading_level: 2\n\n" for name in babelscope.__all__)
    return (
        "# Python\n\nWhat `import babelscope` offers; its names are those of the command line. Measures, which take "
        f"arrays, are in [probes](probes/index.md).\n\n{entries}"
    )


def _probes() -> str:
    told = " ".join(_docstring("__init__").split())
    rows = [f"| [{name}]({name}.md) | {_first_sentence(_docstring(name))} |" for name in probe_modules()]
    return "\n".join(["# probes", "", told, "", "| file | |", "|---|---|", *rows, ""])


def _docstring(module: str) -> str:
    source = (ROOT / "probes" / f"{module}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


def _first_sentence(docstring: str) -> str:
    return " ".join(docstring.partition("\n\n")[0].split()).replace("|", "\\|")
