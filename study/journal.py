"""What a running study leaves on disk of how far it is, for `babelscope study watch` and for whoever asks later."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..display import Displayed
from ..errors import StudyError
from ..files import LOCK, held, open_plain, replace_text
from ..progress import Meter, duration

NAME = ".progress.json"
INTERVAL = 1.0  # seconds between two writings, but where a stage begins or ends
LIVELY = 5.0  # seconds in which a sign of life needs no proof
COMPLETE = ("finished", "skipped")  # states of a stage
MOST_BYTES = 2**22  # of a file that may come from a stranger


@dataclass(frozen=True)
class Event:
    """What happens while a study runs; `done` of `total` counts the stage's own units."""

    stage: str
    state: str  # skipped, started, progress, finished
    done: int = 0
    total: int = 0
    tokens: int = 0
    unit: str = "parts"
    seconds: float = 0.0


@dataclass(frozen=True)
class StageStanding:
    """One stage of a run. Rates are per second, `left` is in seconds; None where they are not known."""

    name: str
    state: str = "to do"  # to do, skipped (complete before), running, finished
    unit: str = "parts"
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    rate: float | None = None
    token_rate: float | None = None
    left: float | None = None


@dataclass(frozen=True, repr=False)
class Standing(Displayed):
    """How far a run is. Times are seconds since 1970."""

    state: str  # running, finished, failed (`reason` says why), stopped (killed, or the machine went down)
    began: float
    told: float  # the last sign of life
    process: int
    host: str
    stages: tuple[StageStanding, ...]
    reason: str = ""

    def summary(self) -> dict[str, object]:
        times = {name: time.strftime("%F %T", time.localtime(getattr(self, name))) for name in ("began", "told")}
        stages = {
            stage.name: f"{stage.state}, {duration(stage.seconds)}" if stage.seconds else stage.state
            for stage in self.stages
        }
        return {"state": self.state, "reason": self.reason, **times, **stages}


@contextmanager
def journal(folder: Path, stages: Mapping[str, str]) -> Iterator[Callable[[Event], None]]:
    """Keep `.progress.json` in `folder` while a study runs; yields what is to be called with its events.

    Args:
        stages: name -> unit.
    """
    took: dict[str, float] = {}
    with suppress(StudyError):
        before = standing(folder).stages
        took = {stage.name: stage.seconds for stage in before if stage.state in COMPLETE}  # it keeps its time
    standings = tuple(StageStanding(name, unit=unit, seconds=took.get(name, 0.0)) for name, unit in stages.items())
    now = time.time()
    kept = _Journal(folder / NAME, Standing("running", now, now, os.getpid(), socket.gethostname(), standings))
    try:
        yield kept.note
    except KeyboardInterrupt:
        kept.write(state="stopped", reason="interrupted; the same command goes on from here")
        raise
    except BaseException as error:
        kept.write(state="failed", reason=f"{type(error).__name__}: {error}")
        raise
    kept.write(state="finished")


class _Journal:
    def __init__(self, path: Path, standing: Standing) -> None:
        self._path, self._standing = path, standing
        self._meter = Meter()
        self._written = 0.0
        self.write()

    def note(self, event: Event) -> None:
        if event.state == "started":
            self._meter = Meter()
        elif event.state == "progress":
            self._meter(event.done, event.total, event.tokens)
            if time.monotonic() - self._written < INTERVAL:
                return
        self.write(stages=tuple(self._noted(s, event) if s.name == event.stage else s for s in self._standing.stages))

    def write(self, **changes: object) -> None:
        self._standing = replace(self._standing, told=time.time(), **changes)  # type: ignore[arg-type]
        self._written = time.monotonic()
        with suppress(OSError):  # a study does not fail for want of a watcher
            replace_text(self._path, json.dumps(asdict(self._standing)))

    def _noted(self, stage: StageStanding, event: Event) -> StageStanding:
        meter = self._meter
        if event.state == "skipped":
            return replace(stage, state="skipped")
        return replace(
            stage,
            state="finished" if event.state == "finished" else "running",
            done=meter.done,
            total=meter.total,
            seconds=meter.elapsed,
            rate=meter.rate,
            token_rate=meter.token_rate,
            left=meter.left,
        )


def standing(folder: Path) -> Standing:
    """How far the study in `folder` is, or how its last run ended.

    Raises:
        StudyError: nothing tells of a run there, or the file is not what a run writes.
    """
    from pydantic import TypeAdapter, ValidationError  # slow to import: `babelscope --help` can do without

    path = folder / NAME
    try:
        with open_plain(path) as file:
            text = file.read(MOST_BYTES)
    except OSError as error:
        raise StudyError(
            f"{folder} tells of no run: {path.name} cannot be read ({error.strerror}). Start one with "
            f"`babelscope study run FILE --out {folder}`."
        ) from error
    try:
        found = TypeAdapter(Standing).validate_json(text)
    except ValidationError as error:
        raise StudyError(f"{path} is not what a run writes. Run the study again.") from error
    silent_for = time.time() - found.told
    if found.state == "running" and silent_for > LIVELY and not held(folder / LOCK):
        return replace(found, state="stopped")
    return found
