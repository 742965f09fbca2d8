"""Records show what people want to know, and nothing that stands in the data becomes markup."""

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import babelscope
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.inventory import Leftover, entry
from babelscope.activations.layout import Shard
from babelscope.activations.store import Cache
from babelscope.activations.verify import Damage
from babelscope.explaining.answers import Answer, Answers
from babelscope.models import Model
from babelscope.study.plan import PlannedStage
from babelscope.tasks import few_shot_prompts, load_task
from babelscope.tasks.check import Report
from babelscope.tasks.records import Pair
from babelscope.training.checkpoint import CurvePoint

EVIL = "<script>alert('x')</script> \"&\u202e"


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.found.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_everything_is_escaped() -> None:
    task = load_task("sentiment")
    prompt = few_shot_prompts(task, "en")[0]
    evil = replace(prompt, example=replace(prompt.example, text=EVIL, id=EVIL), prefix="")
    for record in (evil, replace(task, name=EVIL)):
        page = Tags(record._repr_html_())
        assert page.found == {"table", "caption", "tr", "th", "td"}
        assert EVIL in page.text
    damage = Damage(Shard(0, "en", 0, 2), EVIL, EVIL, ())
    for record in (Pair(*[EVIL] * 6), Leftover(Path("a"), EVIL, 7), PlannedStage(EVIL, "to do"), damage):
        page = Tags(record._repr_html_())
        assert page.found == {"table", "caption", "tr", "th", "td"}
        assert EVIL in page.text
    answers = Answers({EVIL: [Answer(EVIL, EVIL, (EVIL,))]})
    page = Tags(answers._repr_html_())
    assert page.found == {"h4", "dl", "dt", "dd", "b", "ul", "li"}
    assert page.text.count(EVIL) == 4
    assert repr(answers).count(EVIL) == 4


def test_records_are_short_and_tell_what_matters(tiny: Callable[..., Model], tmp_path: Path) -> None:
    task, model = load_task("sentiment"), tiny("llama")
    request = Request(task, ("en", "zh"), limit=2)
    write_cache(model, request, tmp_path / "base.h5")
    with Cache(tmp_path / "base.h5") as cache:
        opened = repr(cache)
        table = cache._repr_html_()
    assert "examples=4" in opened
    assert "base.h5" in opened
    assert "0 to 3" in table
    assert "closed=True" in repr(cache)
    assert "examples=384 per language" in repr(task)
    assert "family=llama" in repr(model)
    assert "languages=en zh" in repr(request)
    assert max(map(len, map(repr, (task, model, request, cache, babelscope.Recipe())))) < 800
    assert "learning_rate" in babelscope.Recipe()._repr_html_()
    assert "val_loss" in CurvePoint(1, 2.5, None, 300.0, 1e-4)._repr_html_()
    assert "fine" in Report(("fine",), {"en": 1.0}, {"en": (2, 3)})._repr_html_()
    assert ">Entry</caption>" in entry(tmp_path / "base.h5")._repr_html_()
