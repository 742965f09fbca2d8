"""The report is one page that stands alone and escapes what it is given."""

import base64
import gzip
import json
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from babelscope.viz import page_arrays, report
from babelscope.viz.page_data import Study, page_data
from babelscope.viz.report import MOST_ROWS, SHORT, as_json, render_report
from page_study import HOSTILE, make_study
from test_viz_style import contrast

WEBP = b"not really a picture"


def page(**changes) -> str:
    content = {"title": "A study", "verdict": [], "explained": [], "figures": [], "tables": [], "provenance": {}}
    return render_report(**{**content, **changes})


def outside_scripts(html: str) -> str:
    """The page without the project's own style and script."""
    return re.sub(r"<style>.*?</style>|<script>.*?</script>", "", html, flags=re.DOTALL)


def unpacked(text: str, kind: type) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def cells(html: str) -> list[str]:
    return re.findall(r"<td[^>]*>(.*?)</td>", html)


def test_many_figures_behind_an_answer_start_folded():
    behind = [f"layer {n}" for n in range(7)]
    html = page(explained=[("zh", [("Where?", "In seven layers.", behind), ("Who?", "All.", behind[:6])])])
    assert html.count("<summary>") == html.count("<details>") == 1
    assert "<summary>7 figures</summary>" in html
    assert all(figure in html for figure in behind)


def test_everything_is_in_the_page_and_nothing_outside_it():
    html = page(
        verdict=["Accuracy rose."],
        explained=[("zh", [("Which languages lost?", "None did.", ["de: none"])])],
        figures=[("Accuracy by language", WEBP)],
        tables=[("accuracy", pd.DataFrame({"language": ["en"]}))],
        provenance={"model": "gemma"},
    )
    assert f"data:image/webp;base64,{base64.b64encode(WEBP).decode()}" in html
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
    assert not re.search(r"<link|@import|url\(", html)
    assert set(re.findall(r"https?://[^\s\"']*", html)) == {"http://www.w3.org/2000/svg"}  # a name, never fetched


def test_hostile_text_is_escaped_everywhere():
    bad = "<script>alert('x')</script>\"&"
    table = pd.DataFrame({bad: [bad]})
    html = page(
        title=bad,
        verdict=[bad],
        explained=[(bad, [(bad, bad, [bad])])],
        figures=[(bad, WEBP)],
        tables=[(bad, table)],
        provenance={bad: bad},
    )
    assert "<script" not in outside_scripts(html)
    assert html.count("&lt;script&gt;") >= 9


def test_only_the_page_s_own_script_and_style_may_run():
    html = page(studies=[make_study()])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1].replace("&#39;", "'")
    for kind in ("style", "script"):
        (own,) = re.findall(rf"<{kind}>(.*?)</{kind}>", html, flags=re.DOTALL)
        assert f"{kind}-src '{report._hash(own)}'" in policy
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_data_cannot_leave_its_element():
    html = page(studies=[make_study(languages=("en", "</script><!--<script>"))])
    (record,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.DOTALL)
    assert "<" not in record
    data = json.loads(record)
    assert data["studies"][0]["examples"]["text"][0][0] == f"{HOSTILE} of id000 in en"
    assert "</script><!--<script>" in data["studies"][0]["languages"]
    assert json.loads(as_json({"<": "</script>"})) == {"<": "</script>"}


def test_points_keep_their_places():
    study = make_study(languages=("en", "zh", "sw"))
    data = page_data([study])["studies"][0]
    (cloud,) = data["clouds"]
    assert cloud["layers"] == [1, 5, 9]
    wide = study.tables["pca"].set_index(["condition", "layer", "language", "id"])[["pc1", "pc2"]]
    layer = wide.xs(5, level="layer")
    low, high = layer.min().to_numpy(), layer.max().to_numpy()
    for condition in ("base", "aligned"):
        points = unpacked(cloud["points"][condition][1], "<i2").reshape(3, 12, 2).astype(float)
        found = low + (points + 32767) / 65534 * (high - low)
        wanted = layer.loc[condition].to_numpy().reshape(3, 12, 2)
        np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_a_picture_goes_out_with_its_quality_or_not_at_all():
    study = make_study(languages=("en", "zh", "sw"))
    told = "PC1 50% of variance (stability 0.99), PC2 25% of variance (stability 0.98), silhouette of languages 0.25, "
    found = page_data([study])["studies"][0]
    assert found["clouds"][0]["quality"] == [f"{told}of meanings -0.12"] * 3
    assert found["unshown"] == []
    aligned = study.tables["pca"].rename(columns={"pc1": "umap1", "pc2": "umap2"})
    aligned.loc[aligned["layer"] == 5, ["umap1", "umap2"]] /= 2
    quality = pd.DataFrame({"layer": [5, 9, 9], "position": "mean", "displacement": [np.nan, 0.25, 0.75]})
    quality["displacement_separate"] = quality["displacement"] * 2
    others = {**study.tables, "aligned_umap": aligned, "aligned_umap_quality": quality, "umap": aligned}
    found = page_data([replace(study, tables=others)])["studies"][0]
    assert [cloud["name"] for cloud in found["clouds"]] == ["PCA, mean", "AlignedUMAP, mean"]
    followed = found["clouds"][1]
    assert followed["layers"] == [5, 9]
    assert followed["quality"] == ["", "displacement from the layer before 0.50 (1.00 fitted separately)"]
    corner = [unpacked(layer, "<i2").max() for layer in followed["points"]["base"]]
    assert corner[1] == 32767  # one frame for all layers: the first one, half as large, does not fill it
    assert corner[0] < 5000
    whole, part = found["unshown"]
    assert whole.startswith("UMAP, mean: layers 1, 5, 9 are not shown. umap_quality.csv does not tell")
    assert part.startswith("AlignedUMAP, mean: layers 1 are not shown.")
    assert "`babelscope probe aligned-umap BASE.h5 ALIGNED.h5 --out DIR`" in part


def test_matrices_and_tokens_keep_their_places():
    study = make_study(languages=("en", "zh", "sw"))
    data = page_data([study])["studies"][0]
    (measure,) = data["alignment"]["measures"]
    whole = unpacked(measure["values"]["aligned"], "<i2").reshape(3, 3, 3)
    value = study.tables["alignment_matrix"].set_index(["condition", "layer", "language_a", "language_b"])["value"]
    found = measure["low"] + (measure["high"] - measure["low"]) * whole[2, 1, 2] / 32767
    assert found == pytest.approx(value["aligned", 9, "zh", "sw"], abs=1e-4)
    assert (np.diagonal(whole, axis1=1, axis2=2) == page_arrays.MISSING).all()
    lens = data["lens"]
    token = unpacked(lens["found"]["base"]["token"], "<u4").reshape(3, 2, 3, 5)
    assert lens["tokens"][token[2, 1, 0, 3]] == f"{HOSTILE[:8]}4"
    assert unpacked(lens["found"]["base"]["probability"], "<u2")[1] == pytest.approx(0.25 * 65535, abs=1)


def test_many_ids_are_sampled_with_those_that_the_lens_looked_at(monkeypatch):
    monkeypatch.setattr(page_arrays, "MOST_POINTS", 20)
    data = page_data([make_study(languages=("en", "zh"))])["studies"][0]
    assert (len(data["ids"]), data["n_ids"]) == (10, 12)
    assert data["ids"][:2] == ["id000", "id001"] == [data["ids"][i] for i in data["lens"]["ids"]]
    assert data["ids"] == sorted(data["ids"])


def test_on_a_dark_page_conditions_stand_out_and_none_looks_like_another():
    css = (files("babelscope.viz") / "page" / "page.css").read_text(encoding="utf-8")
    ground = re.search(r"prefers-color-scheme: dark.*?--page: (#\w+)", css, flags=re.DOTALL)[1]
    data = page_data([make_study(conditions=("base", "zh", "copy"))])
    tones = {one["name"]: one["dark"] for one in data["conditions"]}
    over_ground = {name: contrast(tone, ground) for name, tone in tones.items()}
    assert over_ground["zh"] > 2 * over_ground["base"] > 6  # the base is the quieter one
    assert over_ground["copy"] > 3
    assert len(set(tones.values())) == 3


def test_a_study_without_tables_has_no_data_and_breaks_nothing():
    data = page_data([Study("", {"accuracy": pd.DataFrame({"language": [], "condition": []})})])["studies"][0]
    assert all(data[name] is None for name in ("accuracy", "clouds", "lens", "alignment", "training", "examples"))


def test_files_are_carried_whole_as_long_as_there_is_room(monkeypatch):
    rng, table = np.random.default_rng(0), pd.DataFrame({"x": [1]})
    small, large = b"x\n1\n", rng.bytes(3000)
    monkeypatch.setattr(report, "MOST_CARRIED", 2000)
    html = page(tables=[("large", table), ("small", table)], csv={"large": large, "small": small})
    (carried,) = re.findall(r'<script type="text/plain" id="file-2">(.*?)</script>', html)
    assert gzip.decompress(base64.b64decode(carried)) == small
    assert "Too large for this page (3 kB): the file is tables/large.csv." in html


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
