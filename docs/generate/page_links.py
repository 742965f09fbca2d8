"""Links that work in the repository's file browser, made to work on the site."""

import posixpath
import re
from collections.abc import Mapping

LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)]*)?\)")


def site_links(text: str, written_in: str, shown_as: str, pages: Mapping[str, str]) -> str:
    """The Markdown with each relative link pointing to where its target is on the site.

    Args:
        written_in: path of the text's file in the repository.
        shown_as: path of its page on the site.
        pages: path in the repository -> path on the site. What is not on the site (code without a reference page,
            folders) keeps its name and loses its link.
    """

    def moved(match: re.Match[str]) -> str:
        picture, label, target, anchor = match.groups(default="")
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(written_in), target))
        if path not in pages:
            return label if label.startswith("`") else f"`{label}`"
        return f"{picture}[{label}]({posixpath.relpath(pages[path], posixpath.dirname(shown_as) or '.')}{anchor})"

    parts = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else LINK.sub(moved, part) for part in parts)
