"""The report that a study writes, opened in a real browser: every section has what the stages left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
import yaml
from babelscope.activations.store import Cache
from babelscope.settings import load_study
from babelscope.study.run import run_study
from babelscope.study.stages import Study

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
PROBES = ["accuracy", "logit-lens", "alignment", "pca", "umap", "aligned-umap"]
ADAPTER = {"pairs": ["zh-en"], "number": 10, "recipe": {"epochs": 1, "pairs_per_step": 4}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    folder = tmp_path_factory.mktemp("study")
    settings = {
        "name": "tiny",
        "model": str(tiny_folder("llama")),
        "languages": ["en", "zh", "de", "sw"],
        "shots": 1,
        "limit": 6,
        "dtype": "float32",
        "device": "cpu",
        "adapters": {"aligned": ADAPTER, "copy": ADAPTER | {"objective": "copy"}},
        "probes": {"draws": 100, "panels": 2, "names": PROBES},
    }
    (folder / "file.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    run_study(Study(load_study(folder / "file.yaml"), folder / "run"))
    return folder / "run"


def test_every_section_is_filled(run: Path, open_file: Callable[..., "Page"]) -> None:
    page = open_file(run / "report.html")
    assert page.locator(".remedy").count() == 0
    for name in ("verdict", "accuracy", "explained", "states", "lens", "alignment", "training", "figures", "tables"):
        page.locator(f"#{name}").scroll_into_view_if_needed()
        assert page.locator(f"#{name}").is_visible(), name
    kinds = page.get_by_label("Projection").locator("option").all_inner_texts()
    assert kinds == ["PCA, mean", "UMAP, mean", "AlignedUMAP, mean"]
    widths = page.evaluate("[...document.querySelectorAll('#figures img')].map((img) => img.naturalWidth)")
    assert len(widths) == len(list((run / "figures").glob("*.png")))
    assert min(widths) > 300
    names = page.evaluate("[...document.querySelectorAll('#figures img')].map((img) => img.alt)")
    assert len(set(names)) == len(names)
    assert {f"Training and validation loss, {name}" for name in ("aligned", "copy")} <= set(names)
    files = {f"{path.stem}.csv" for path in (run / "tables").glob("*.csv")}
    assert set(page.locator("button.download").evaluate_all("all => all.map((one) => one.dataset.name)")) == files
    provenance = page.locator("#provenance").inner_text()
    for cache in (run / "activations").glob("*.h5"):
        with Cache(cache) as opened:
            assert opened.attributes["prompts_sha256"] in provenance


def test_pointing_at_a_state_tells_its_text_and_what_both_models_answer(
    run: Path, open_file: Callable[..., "Page"]
) -> None:
    page = open_file(run / "report.html")
    page.get_by_label("After").select_option(label="copy")
    for kind in ("PCA, mean", "UMAP, mean", "AlignedUMAP, mean"):
        page.get_by_label("Projection").select_option(label=kind)
        quality = page.locator("#states .note").all_inner_texts()
        assert any("silhouette of languages" in text for text in quality), kind
    canvas = page.locator("#states canvas.top").first
    canvas.scroll_into_view_if_needed()
    canvas.focus()
    page.wait_for_timeout(500)  # scrolling goes on for a while, and moves the pointer off a panel: that hides the tip
    page.keyboard.press("ArrowRight")
    page.locator("#tip").wait_for(state="visible")
    code, example = page.locator("#tip strong").inner_text().split(" · ")
    told = page.locator("#tip").inner_text()
    for condition in ("base", "copy"):
        with Cache(run / "activations" / f"{condition}.h5") as cache:
            examples = cache.examples()
            (row,) = examples.index[(examples["language"] == code) & (examples["id"] == example)]
            scores = cache.scores().full[row]
            assert examples["text"][row] in told
            assert f"{condition}\n" in told
            assert cache.labels[scores.argmax()] in told.split(f"{condition}\n")[1].split("\n")[0]


def test_accuracy_is_that_of_the_table(run: Path, open_file: Callable[..., "Page"]) -> None:
    page = open_file(run / "report.html")
    table = pd.read_csv(run / "tables" / "accuracy.csv").query("condition == 'base'").set_index("language")["accuracy"]
    rows = page.locator("#accuracy tbody tr")
    shown = {row.split()[0]: row.split()[-1] for row in rows.locator("th").all_inner_texts()}
    assert set(shown) == set(table.index)
    for i in range(rows.count()):
        code = rows.nth(i).locator("th").inner_text().split()[0]
        assert rows.nth(i).locator("td").nth(1).inner_text() == f"{table[code]:.3f}"
    assert json.loads(page.locator("#data").text_content())["studies"][0]["n_ids"] == 6
