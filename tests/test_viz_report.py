"""The report is one page that stands alone and escapes what it is given."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
from babelscope.viz.report import MOST_ROWS, SHORT, render_report

PNG = b"\x89PNG not really"


def page(**changes) -> str:
    content = {"title": "A study", "verdict": [], "explained": [], "figures": [], "tables": [], "provenance": {}}
    return render_report(**{**content, **changes})


def cells(html: str) -> list[str]:
    return re.findall(r"<td[^>]*>(.*?)</td>", html)


def test_everything_is_in_the_page_and_nothing_outside_it():
    html = page(
        verdict=["Accuracy rose."],
        explained=[("zh", [("Which languages lost?", "None did.", ["de: none"])])],
        figures=[("Accuracy by language", PNG)],
        tables=[("accuracy", pd.DataFrame({"language": ["en"]}))],
        provenance={"model": "gemma"},
    )
    assert f"data:image/png;base64,{base64.b64encode(PNG).decode()}" in html
    assert 'alt="Accuracy by language"' in html
    for text in (
        "Accuracy rose.",
        "Which languages lost?",
        "None did.",
        "de: none",
        "accuracy.csv",
        "1 row<",
        "gemma",
        '<meta charset="utf-8">',
    ):
        assert text in html
    assert not re.search(r"<script|<link|@import|https?://|url\(", html)


def test_hostile_text_is_escaped_everywhere():
    bad = "<script>alert('x')</script>\"&"
    table = pd.DataFrame({bad: [bad]})
    html = page(
        title=bad,
        verdict=[bad],
        explained=[(bad, [(bad, bad, [bad])])],
        figures=[(bad, PNG)],
        tables=[(bad, table)],
        provenance={bad: bad},
    )
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 9


def test_twenty_scripts_survive():
    words = ["积极", "肯定的", "положительный", "सकारात्मक", "ইতিবাচক", "เชิงบวก", "jákvæð"]
    html = page(tables=[("top_tokens", pd.DataFrame({"token": words}))])
    assert cells(html) == words


def test_numbers_are_short_and_right_aligned_and_missing_ones_a_dash():
    table = pd.DataFrame({"n": [120, 7], "x": [-0.123456, np.nan], "ok": [True, False], "code": ["no", None]})
    html = page(tables=[("t", table)])
    assert cells(html) == ["120", "−0.1235", "yes", "no", "7", "–", "no", "–"]
    assert re.findall(r'<th scope="col" class="(\w+)">', html) == ["number", "number", "text", "text"]


@pytest.mark.parametrize(("rows", "folded"), [(SHORT, False), (SHORT + 1, True)])
def test_long_tables_are_folded(rows, folded):
    html = page(tables=[("t", pd.DataFrame({"x": range(rows)}))])
    assert ("<details>" in html) is folded
    assert "The first" not in html


def test_very_long_tables_show_their_start_and_say_where_the_rest_is():
    html = page(tables=[("alignment.csv", pd.DataFrame({"x": range(MOST_ROWS + 50)}))])
    assert len(cells(html)) == MOST_ROWS
    assert f"The first {MOST_ROWS} of {MOST_ROWS + 50} rows; all are in alignment.csv." in html


def test_sections_without_content_are_left_out():
    html = page()
    assert not re.search(r"<section|<nav[^>]*>\s*<a", html)
    assert "<h1>A study</h1>" in html


def test_empty_table_is_shown_with_its_columns():
    html = page(tables=[("t", pd.DataFrame({"language": [], "x": []}))])
    assert "0 rows" in html
    assert ">language</th>" in html
