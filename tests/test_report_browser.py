"""The report in a real browser: what sliders, pointers and keys do, on wide, narrow, dark and hostile pages."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from babelscope.viz.page_data import Study
from babelscope.viz.report import render_report
from page_study import HOSTILE, make_study

if TYPE_CHECKING:
    from playwright import sync_api

pytestmark = pytest.mark.browser
SLOWEST = 200  # ms
CSV = b"language,n\nen,12\n"
Open = Callable[..., "sync_api.Page"]


@pytest.fixture
def open_page(open_file: Open, tmp_path: Path) -> Open:
    """A function that renders studies and opens the page."""

    def open_(*studies: Study, **options: object) -> "sync_api.Page":
        tables = [(f"<b>{name}", table) for study in studies for name, table in study.tables.items()]
        files = {name: CSV for name, _ in tables}
        text = render_report(f"A study {HOSTILE}", [HOSTILE], [], [], tables, {"command": HOSTILE}, studies, files)
        (tmp_path / "report.html").write_text(text, encoding="utf-8")
        return open_file(tmp_path / "report.html", **options)

    return open_


@pytest.fixture
def page(open_page: Open) -> "sync_api.Page":
    return open_page(make_study())


def drawn(page: "sync_api.Page", panel: int = 0) -> str:
    return page.evaluate(f"document.querySelectorAll('#states canvas:first-child')[{panel}].toDataURL()")


def corner(page: "sync_api.Page", panel: int = 0) -> tuple[float, float]:
    """Where the lonely point is."""
    canvas = page.locator("#states canvas.top").nth(panel)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    return box["x"] + box["width"] - 10, box["y"] + 10


def test_sliders_move_points_and_matrices(page: "sync_api.Page") -> None:
    for section, picture in (("states", lambda: drawn(page)), ("alignment", lambda: fills(page))):
        slider = page.locator(f"#{section} input[type=range]")
        seen = {picture()}
        for layer in range(2):
            slider.fill(str(2 * layer))
            seen.add(picture())
        assert len(seen) == 3
        assert page.locator(f"#{section} output").inner_text() == "layer 9"


def fills(page: "sync_api.Page") -> str:
    return page.evaluate("[...document.querySelectorAll('#alignment rect')].map((r) => r.getAttribute('fill')).join()")


def test_hover_tells_text_english_and_both_answers(page: "sync_api.Page") -> None:
    page.mouse.move(*corner(page))
    told = page.locator("#tip").inner_text()
    assert f"{HOSTILE} of id011 in sw" in told
    assert f"{HOSTILE} of id011 in en" in told
    assert "✓ positive 75%" in told
    page.mouse.move(5, 5)
    assert page.locator("#tip").is_hidden()


def test_click_follows_an_example_through_languages_and_layers_until_escape(page: "sync_api.Page") -> None:
    before = drawn(page, 1)
    page.mouse.click(*corner(page))
    rows = page.locator("#states .followed tbody tr")
    assert rows.count() == 20
    assert all("id011" in text for text in rows.all_inner_texts())
    assert drawn(page, 1) != before  # the other panel too
    page.locator("#states input[type=range]").fill("0")
    assert "Following id011 in 20 languages" in page.locator("#states .status").inner_text()
    page.keyboard.press("Escape")
    assert rows.count() == 0
    page.locator("#states input[type=range]").fill("1")
    assert drawn(page, 1) == before


def test_brushing_one_panel_marks_both(page: "sync_api.Page") -> None:
    before = drawn(page, 1)
    x, y = corner(page)
    page.mouse.move(x - 30, y + 30)
    page.mouse.down()
    page.mouse.move(x + 5, y - 5, steps=3)
    page.mouse.up()
    assert page.locator("#states .status").inner_text() == (
        "1 points brushed: 1 ids in 1 languages; right: base 100%, aligned 100%."
    )
    assert drawn(page, 1) != before


def test_other_buttons_of_a_mouse_follow_and_clear_nothing(page: "sync_api.Page") -> None:
    x, y = corner(page)
    page.mouse.click(x, y, button="right")
    assert "Nothing" in page.locator("#states .status").inner_text()
    page.mouse.click(x, y)
    page.mouse.click(x - 40, y, button="right")  # where there is no point
    assert "Following id011" in page.locator("#states .status").inner_text()


def test_colours_of_labels_and_answers_have_a_key_and_none_stands_for_two(open_page: Open) -> None:
    study = make_study()
    many = study.texts.assign(label=[f"label{int(i[2:]) % 9}" for i in study.texts["id"]])
    page = open_page(replace(study, texts=many))
    key = page.locator("#states .key")
    assert key.is_hidden()
    page.get_by_label("Colour", exact=True).select_option(label="label")
    swatches = "[...document.querySelectorAll('#states .key .swatch')].map((s) => getComputedStyle(s).backgroundColor)"
    names = [f"label{i}" for i in range(7)]
    assert key.inner_text().split() == [*names, "other", "labels,", "or", "none"]
    assert len(set(page.evaluate(swatches))) == 8
    page.get_by_label("Colour", exact=True).select_option(label="right or wrong")
    assert key.inner_text().split() == ["right", "wrong"]


def test_a_projection_to_be_followed_has_one_frame_for_all_layers(open_page: Open) -> None:
    study = make_study()
    points = study.tables["pca"].rename(columns={"pc1": "umap1", "pc2": "umap2"})
    points.loc[points["layer"] != 5, ["umap1", "umap2"]] *= 0.5
    quality = points[["layer", "position"]].drop_duplicates().assign(trustworthiness=0.9)
    page = open_page(replace(study, tables={**study.tables, "aligned_umap": points, "aligned_umap_quality": quality}))
    page.get_by_label("Projection").select_option(label="AlignedUMAP, mean")
    assert "all layers share one frame" in page.locator("#states").inner_text()
    page.mouse.click(*corner(page))  # layer 5 reaches the corner
    assert "Following id011" in page.locator("#states .status").inner_text()
    page.locator("#states input[type=range]").fill("0")
    page.mouse.click(*corner(page))  # layer 1 only the middle
    assert "Nothing" in page.locator("#states .status").inner_text()


def test_a_followed_example_is_shown_by_the_lens(page: "sync_api.Page") -> None:
    page.locator("#lens select").nth(0).select_option("1")
    page.locator("#lens select").nth(1).select_option(label="de")
    assert f"{HOSTILE} of id001 in de" in page.locator("#lens .sentence").inner_text()
    assert "Following id001" in page.locator("#states .status").inner_text()
    cell = page.locator("#lens td").first
    cell.hover()
    assert "<script>1" in page.locator("#tip").inner_text()
    assert "0.500" in page.locator("#tip").inner_text()
    page.locator("#lens select").first.focus()
    page.keyboard.press("Escape")  # wherever the focus is
    assert "Nothing" in page.locator("#states .status").inner_text()


def test_accuracy_sorts_and_tells_n_interval_and_p(page: "sync_api.Page") -> None:
    def languages() -> list[str]:
        return [text.split()[0] for text in page.locator("#accuracy tbody th").all_inner_texts()]

    known = languages()
    page.get_by_role("button", name="Difference").click()
    assert languages()[0] == known[-1]  # the most negative
    assert page.locator("#accuracy th[aria-sort]").get_attribute("aria-sort") == "ascending"
    page.get_by_role("button", name="Difference").click()
    assert languages()[-1] == known[-1]
    page.locator("#accuracy tbody tr").last.hover()
    told = page.locator("#tip").inner_text()
    for text in ("12", "0.690 [0.590, 0.790]", "−0.380 [−0.100, +0.100]", "0.010, Holm 0.20"):
        assert text in told


def test_everything_can_be_done_with_keys(page: "sync_api.Page") -> None:
    reached = []
    for _ in range(90):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("[document.activeElement.closest('section')?.id, document.activeElement.tagName]"))
    wanted = [("accuracy", "TR"), ("states", "INPUT"), ("states", "CANVAS"), ("lens", "SELECT"), ("lens", "TD")]
    wanted += [("alignment", "rect"), ("training", "svg"), ("tables", "BUTTON")]
    assert set(wanted) <= set(map(tuple, reached))
    slider = page.locator("#states input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#states output").inner_text() == "layer 9"
    page.locator("#states canvas.top").first.focus()
    page.keyboard.press("ArrowRight")
    assert "of id0" in page.locator("#tip").inner_text()
    page.keyboard.press("Enter")
    assert "Following id0" in page.locator("#states .status").inner_text()
    page.keyboard.press("Escape")
    assert "Nothing" in page.locator("#states .status").inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("b")
    assert "brushed" in page.locator("#states .status").inner_text()


def test_a_phone_needs_no_sideways_scrolling(open_page: Open) -> None:
    page = open_page(make_study(), viewport={"width": 390, "height": 844}, has_touch=True)
    x, y = corner(page)
    page.touchscreen.tap(x, y)
    assert "Following id011" in page.locator("#states .status").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_dark_pages_are_dark_and_paper_is_white(open_page: Open) -> None:
    light, dark = open_page(make_study()), open_page(make_study(), color_scheme="dark")
    grounds = [page.evaluate("getComputedStyle(document.body).backgroundColor") for page in (light, dark)]
    assert grounds[0] == "rgb(255, 255, 255)" != grounds[1]
    assert drawn(light) != drawn(dark)
    on_screen = drawn(dark)
    for page in (light, dark):
        page.emulate_media(media="print")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert drawn(light) == drawn(dark)
    dark.emulate_media(media="screen", color_scheme="dark")
    dark.evaluate("dispatchEvent(new Event('afterprint'))")
    assert drawn(dark) == on_screen


def test_hostile_text_is_shown_and_not_run(open_page: Open) -> None:
    page = open_page(make_study(languages=("en", "<img src=x onerror=alert(1)>", "sw")))
    assert page.locator("h1").inner_text().endswith(HOSTILE)
    page.mouse.click(*corner(page))
    for place in ("#verdict", "#provenance", "#states .followed", "#lens .sentence"):
        assert HOSTILE in page.locator(place).inner_text()
    assert "<img src=x" in page.locator("#accuracy").inner_text()
    assert page.evaluate("window.hacked") is None


def test_tables_are_downloaded_whole(page: "sync_api.Page") -> None:
    with page.expect_download() as waiting:
        page.locator("button.download").first.click()
    assert Path(waiting.value.path()).read_bytes() == CSV


def test_several_tests_and_conditions_are_chosen(open_page: Open) -> None:
    names = ("base", "zh", "copy")
    page = open_page(make_study(conditions=names, name="nli"), make_study(languages=("en", "sw"), name="own"))
    page.get_by_label("After").select_option(label="copy")
    assert page.locator("#states figcaption").all_inner_texts() == ["base", "copy"]
    page.get_by_label("Test").select_option(label="own")
    assert page.locator("#accuracy tbody tr").count() == 2


def test_only_a_tested_difference_is_shown_as_significant(open_page: Open) -> None:
    page = open_page(make_study(conditions=("base", "zh", "copy")))
    filled = page.locator("#accuracy tbody tr:not(:has(.hollow))")
    assert filled.count() == page.locator("#accuracy .sure").count() == 7  # of 20, every third: Holm p is 0.04
    page.get_by_label("Before").select_option(label="zh")
    page.get_by_label("After").select_option(label="copy")
    assert filled.count() == page.locator("#accuracy .sure").count() == 0


def test_sections_without_data_name_the_command(open_page: Open) -> None:
    empty = pd.DataFrame({"language": [], "condition": [], "n": []})
    page = open_page(Study("", {"accuracy": empty}))
    told = page.locator(".remedy").all_inner_texts()
    assert len(told) == 5
    assert all("babelscope " in text for text in told)


def test_it_stays_quick_with_many_examples(open_page: Open) -> None:
    page = open_page(make_study(n_ids=500, layers=range(22), conditions=("base", "zh", "copy")))
    assert "A sample of 250 of 500 ids is shown" in page.locator("#states").inner_text()
    timed = """async ([selector, type]) => {
      const times = [];
      for (let i = 0; i < 9; i++) {
        const target = document.querySelector(selector);
        const { left, top, width } = target.getBoundingClientRect();
        const at = { bubbles: true, clientX: left + width * (0.3 + i / 20), clientY: top + width / 2 };
        const start = performance.now();
        if (type === "input") target.value = 2 * i;
        if (type === "change") target.value = i % 2 ? 2 : 1;
        const own = ["input", "change", "click"].includes(type);
        target.dispatchEvent(own ? new Event(type, { bubbles: true }) : new PointerEvent(type, at));
        await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
        times.push(performance.now() - start);
      }
      return times.sort((a, b) => a - b)[0];
    }"""

    took: dict[str, float] = {}

    def quick(selector: str, event: str, what: str) -> None:
        took[what] = round(page.evaluate(timed, [selector, event]))  # up to the next frame; the quickest of nine

    top = "#states canvas.top"
    page.locator(top).first.scroll_into_view_if_needed()
    quick("#states input", "input", "layer of the points")
    quick("#alignment input", "input", "layer of the matrices")
    quick(top, "pointermove", "hover")
    quick(top, "pointerup", "follow")
    quick("#states .chip", "click", "hide or show a language")
    quick("#accuracy [data-key=difference]", "click", "sort")
    quick("#compared .conditions .control:last-child select", "change", "other conditions")
    page.locator(top).first.scroll_into_view_if_needed()
    box = page.locator(top).first.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    quick(top, "pointermove", "brush")
    page.mouse.up()
    assert "points brushed" in page.locator("#states .status").inner_text()
    print("ms:", took)
    assert max(took.values()) < SLOWEST, took
