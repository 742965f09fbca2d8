"""What mkdocs calls while it builds the site: pages from outside docs/, pages that are made of the code, and links."""

from pathlib import Path
from typing import Any

from cli_pages import cli_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from page_links import site_links
from python_pages import probe_modules, python_pages
from study_page import study_page

ROOT = Path(__file__).parents[2]

# path in the repository -> page
OUTSIDE = {
    "README.md": "index.md",
    "activations/FORMAT.md": "format.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


def generated_pages() -> dict[str, str]:
    """Markdown that is in no file, by page."""
    return (
        {f"reference/cli/{name}": text for name, text in cli_pages().items()}
        | {f"reference/python/{name}": text for name, text in python_pages().items()}
        | {"reference/study-file.md": study_page()}
    )


def site_paths() -> dict[str, str]:
    """Path in the repository -> path on the site, of all that a page may link to."""
    docs = ROOT / "docs"
    shown = [path for path in docs.rglob("*") if path.suffix in (".md", ".png")]
    studies = [path.relative_to(ROOT).as_posix() for path in (ROOT / "studies").rglob("*.*")]
    return (
        {path.relative_to(ROOT).as_posix(): path.relative_to(docs).as_posix() for path in shown}
        | {path: path for path in (*studies, "LICENSE")}
        | {f"probes/{name}.py": f"reference/python/probes/{name}.md" for name in probe_modules()}
        | {"settings.py": "reference/study-file.md", "cli.py": "reference/cli/index.md"}
        | OUTSIDE
    )


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the generated pages under their headings in the navigation."""
    reference: list[Any] = next(part["Reference"] for part in config.nav or [] if "Reference" in part)
    commands = [f"reference/cli/{name}" for name in cli_pages()]
    probes = [f"reference/python/probes/{name}.md" for name in ("index", *probe_modules())]
    reference[:0] = [{"Command line": commands}, {"Python": ["reference/python/index.md", {"probes": probes}]}]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for page, text in generated_pages().items():
        files.append(File.generated(config, page, content=text))
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    for path in (*(ROOT / "studies").rglob("*.*"), ROOT / "LICENSE"):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    shown = page.file.src_uri
    if shown in generated_pages_names:
        return markdown
    written = next((path for path, of in OUTSIDE.items() if of == shown), f"docs/{shown}")
    return site_links(markdown, written, shown, paths)


paths = site_paths()
generated_pages_names = frozenset(generated_pages())
