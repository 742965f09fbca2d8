"""What is known of a long step's progress, and how it is shown."""

import io
import re
import sys
from collections.abc import Callable, Iterator

import pytest
from babelscope.activations.cache import Request, write_cache
from babelscope.models import Model
from babelscope.progress import Meter, Together, Unfinished, duration, speed
from babelscope.tasks import load_task
from babelscope.terminal import choose_level, progress


@pytest.fixture
def usual_level() -> Iterator[None]:
    choose_level(quiet=False, verbose=False)
    yield
    choose_level(quiet=False, verbose=False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_an_earlier_run_did_counts_for_no_rate() -> None:
    clock = [0.0]
    meter = Meter(lambda: clock[0])
    clock[0] = 5  # a model was opened
    meter(60, 100, 0)
    assert (meter.rate, meter.token_rate, meter.left) == (None, None, None)
    clock[0] = 15
    meter(80, 100, 4000)
    assert (meter.elapsed, meter.rate, meter.token_rate, meter.left) == (15, 2, 400, 10)
    clock[0] = 18
    assert (meter.elapsed, meter.rate) == (18, 2)  # no news: no other rate


def test_another_step_has_a_rate_of_its_own() -> None:
    clock = [0.0]
    meter = Meter(lambda: clock[0])
    for now, done, total in ((0, 0, 10), (100, 10, 10), (100, 0, 4), (102, 1, 4)):
        clock[0] = now
        meter(done, total)
    assert (meter.elapsed, meter.rate, meter.left) == (102, 0.5, 6)


def test_a_step_is_whole_when_its_figures_are_there() -> None:
    told: list[tuple[int, int, int]] = []
    tell = Unfinished(lambda *counts: told.append(counts))
    tell.finish()
    assert told == []
    for done in range(3):
        tell(done, 2, 5 * done)
    assert told == [(0, 2, 0), (1, 2, 5), (1, 2, 10)]
    tell.finish()
    assert told[-1] == (2, 2, 10)


def test_parts_are_told_as_one_step() -> None:
    told: list[tuple[int, int, int]] = []
    tell = Together(lambda *counts: told.append(counts), 5)
    for part in (((0, 2, 9), (1, 2, 15), (2, 2, 20)), ((0, 3, 1), (3, 3, 30))):
        for counts in part:
            tell(*counts)
    assert told == [(0, 5, 0), (0, 5, 9), (1, 5, 15), (2, 5, 20), (2, 5, 21), (5, 5, 50)]


def test_times_and_rates_are_read_as_people_say_them() -> None:
    assert [duration(s) for s in (0.04, 9.96, 59.4, 59.6, 200, 3599.9, 7500)] == [
        *("0.0 s", "10 s", "59 s", "1 min 00 s", "3 min 20 s", "1 h 00 min", "2 h 05 min")
    ]
    assert (speed(0.25, None, "layers"), speed(12.3, None, "layers")) == ("0.25 layers/s", "12 layers/s")
    assert (speed(2.0, 1930.2, "prompts"), speed(None, None, "prompts")) == ("1,930 tokens/s", "")


def test_capture_counts_every_prompt_and_its_tokens(tiny: Callable[..., Model], tmp_path: object) -> None:
    told: list[tuple[int, int, int]] = []
    request = Request(load_task("sentiment"), ("en", "zh"), limit=5)
    model = tiny("llama")
    write_cache(model, request, f"{tmp_path}/base.h5", lambda *counts: told.append(counts))
    assert told[0] == (0, 10, 0)
    assert told == sorted(told)
    assert told[-1][:2] == (10, 10)
    whole = [len(model.tokenizer(p.full)["input_ids"]) for group in request.prompts().values() for p in group]
    assert 0.2 * sum(whole) < told[-1][2] < sum(whole)  # what all prompts share runs once


@pytest.mark.usefixtures("usual_level")
def test_a_terminal_has_a_bar_and_then_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with progress("cache", "prompts") as report:
        report(0, 2400, 0)
        report(1200, 2400, 1000)
    assert "1,200/2,400" in screen.getvalue()
    assert "\x1b[" in screen.getvalue()
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue()).splitlines()[-1]
    assert last.startswith("cache: 1,200/2,400 prompts in 0.")


@pytest.mark.usefixtures("usual_level")
@pytest.mark.parametrize("no_color", ["", "1"])
def test_no_color_takes_the_colours_of_the_bar(no_color: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """SGR 30 to 38, 40 to 48 and 90 to 107 are colours; 1 (bold) is none."""
    for name, value in {"TERM": "xterm-256color", "NO_COLOR": no_color}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", screen := Terminal())
    with progress("cache", "prompts") as report:
        report(0, 10)
        report(5, 10)
    assert "\x1b[" in screen.getvalue()
    sent = {int(code) for codes in re.findall(r"\x1b\[([0-9;]+)m", screen.getvalue()) for code in codes.split(";")}
    assert bool(sent & {*range(30, 39), *range(40, 49), *range(90, 108)}) == (no_color == "")


@pytest.mark.usefixtures("usual_level")
@pytest.mark.parametrize("kind", [io.StringIO, Terminal])
def test_elsewhere_there_are_plain_and_sparse_lines(kind: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr(sys, "stderr", told := kind())
    monkeypatch.setattr("babelscope.terminal.bars.DENSE", 0.0)
    with progress("cache", "prompts") as report:
        for done in range(101):
            report(done, 100, done * 10)
    lines = told.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("cache: 0/100 prompts, 0.")
    assert lines[-1].startswith("cache: 100/100 prompts in 0.")
    assert "\x1b" not in told.getvalue()


@pytest.mark.usefixtures("usual_level")
def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    choose_level(quiet=True, verbose=False)
    with progress("cache") as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "")
