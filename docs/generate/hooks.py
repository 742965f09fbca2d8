"""What mkdocs calls while it builds the site: pages from outside docs/, pages that are made of the code, and links."""

from functools import cache
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
PAGES = {
    "README.md": "index.md",
    "activations/FORMAT.md": "format.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


def outside() -> dict[str, str]:
    """Path in the repository -> path on the site, of what is shown and not in docs/."""
    files = [path.relative_to(ROOT).as_posix() for path in (ROOT / "studies").rglob("*.*")]
    return PAGES | {path: path for path in (*files, "LICENSE")}


def generated_pages() -> dict[str, str]:
    """Markdown that is in no file, by page."""
    return (
        {f"reference/cli/{name}": text for name, text in cli_pages().items()}
        | {f"reference/python/{name}": text for name, text in python_pages().items()}
        | {"reference/study-file.md": study_page()}
    )


@cache
def site_paths() -> dict[str, str]:
    """Path in the repository -> path on the site, of all that a page may link to."""
    inside = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.*")]
    return (
        {f"docs/{path}": path for path in inside if path.endswith((".md", ".webp", ".gif"))}
        | {f"probes/{name}.py": f"reference/python/probes/{name}.md" for name in probe_modules()}
        | {"settings.py": "reference/study-file.md", "cli.py": "reference/cli/index.md"}
        | outside()
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
    for path, shown in outside().items():
        files.append(File.generated(config, shown, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    paths = site_paths()
    written = next((path for path, shown in paths.items() if shown == page.file.src_uri), None)
    generated = page.file.src_uri.startswith("reference/")
    return markdown if generated or written is None else site_links(markdown, written, page.file.src_uri, paths)
