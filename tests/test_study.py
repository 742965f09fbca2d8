"""A whole study on a tiny model: what it leaves, what it skips, what it refuses, how it goes on after a kill."""

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from babelscope import cli
from babelscope.errors import BusyError, CacheError, StudyError, UsageError
from babelscope.settings import load_study
from babelscope.study import journal
from babelscope.study.plan import plan_study
from babelscope.study.run import Event, run_study
from babelscope.study.stages import Study
from screens import WIDTH, assert_fits
from typer.testing import CliRunner

SETTINGS = {
    "name": "tiny",
    "languages": ["en", "zh", "de", "sw"],
    "shots": 1,
    "limit": 6,
    "dtype": "float32",
    "device": "cpu",
    "adapters": {"aligned": {"pairs": ["zh-en"], "number": 10, "recipe": {"epochs": 1, "pairs_per_step": 4}}},
    "probes": {"draws": 100, "panels": 2, "names": ["accuracy", "logit-lens", "pca"]},
}

Write = Callable[..., Path]


@pytest.fixture
def study_file(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> Write:
    def write(**changes: object) -> Path:
        path = tmp_path / "study.yaml"
        path.write_text(yaml.safe_dump(SETTINGS | {"model": str(tiny_folder("llama"))} | changes), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Study:
    folder = tmp_path_factory.mktemp("study")
    names = [*SETTINGS["probes"]["names"], "umap"]  # type: ignore[index]
    settings = SETTINGS | {"model": str(tiny_folder("llama")), "probes": SETTINGS["probes"] | {"names": names}}  # type: ignore[operator]
    (folder / "file.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    study = Study(load_study(folder / "file.yaml"), folder / "run")
    run_study(study)
    return study


def test_a_study_leaves_what_the_design_promises(finished: Study) -> None:
    folder = finished.folder
    for name in ("study.yaml", "manifest.json", "report.html", "activations/base.h5", "activations/aligned.h5"):
        assert (folder / name).is_file(), name
    assert (folder / "adapters" / "aligned" / "adapter_model.safetensors").is_file()
    delta = pd.read_csv(folder / "tables" / "accuracy_delta.csv")
    wanted = ["language", "trained", "n", "base", "aligned", "delta", "ci_low", "ci_high", "p_value", "p_holm"]
    assert list(delta.columns[: len(wanted)]) == wanted
    assert dict(zip(delta["language"], delta["trained"], strict=True)) == {
        "en": True,
        "zh": True,
        "de": False,
        "sw": False,
    }
    lens = pd.read_csv(folder / "tables" / "logit_lens.csv")
    assert list(lens.columns) == ["language", "condition", "layer", "quantity", "value", "ci_low", "ci_high"]
    assert set(lens["layer"]) == {0, 1, 2, 3}
    for figure in ("accuracy", "auc", "predicted_share", "training_aligned", "logit_lens", "pca", "umap"):
        for kind in ("png", "pdf"):
            assert (folder / "figures" / f"{figure}.{kind}").stat().st_size > 1000
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "tables/accuracy.csv" in manifest["files"]
    assert not list(folder.rglob("*.partial*"))


def test_tables_agree_with_the_caches(finished: Study) -> None:
    """Accuracy by hand from plain h5py, against the table."""
    import h5py
    import numpy as np

    table = pd.read_csv(finished.folder / "tables" / "accuracy.csv")
    with h5py.File(finished.folder / "activations" / "aligned.h5") as file:
        names = file["labels/name"].asstr()[:]
        right = names[file["labels/logprob"][:].argmax(1)] == file["examples/label"].asstr()[:]
        language = file["examples/language"].asstr()[:]
    for row in table[table["condition"] == "aligned"].itertuples():
        assert row.accuracy == pytest.approx(np.mean(right[language == row.language]))


def test_the_report_tells_texts_answers_and_fingerprints(finished: Study) -> None:
    import h5py

    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    shown = json.loads(page.split('id="data">')[1].split("</script>")[0])["studies"][0]
    examples = shown["examples"]
    with h5py.File(finished.folder / "activations" / "aligned.h5") as file:
        names = file["labels/name"].asstr()[:]
        columns = [file[f"examples/{name}"].asstr()[:] for name in ("language", "id", "text")]
        predicted = names[file["labels/logprob"][:].argmax(1)]
        assert file.attrs["adapter_sha256"] in page
    found = base64.b64decode(examples["answers"]["aligned"]["predicted"])
    assert len(found) == len(predicted)
    for language, example, text, label in zip(*columns, predicted, strict=True):
        at = shown["languages"].index(language), shown["ids"].index(example)
        assert examples["text"][at[0]][at[1]] == text
        assert examples["labels"][found[at[0] * len(shown["ids"]) + at[1]]] == label
    assert {"accuracy", "clouds", "lens", "training"} <= {name for name, section in shown.items() if section}


def test_a_complete_study_runs_nothing(finished: Study) -> None:
    events: list[Event] = []
    before = (finished.folder / "manifest.json").stat().st_mtime_ns
    assert run_study(finished, events.append) == []
    assert {event.state for event in events} == {"skipped"}
    assert (finished.folder / "manifest.json").stat().st_mtime_ns == before


def test_a_lost_table_is_made_again_and_nothing_else(finished: Study) -> None:
    (finished.folder / "tables" / "pca.csv").unlink()
    assert run_study(finished) == ["probe pca"]


def test_changed_probe_settings_touch_no_model(finished: Study) -> None:
    settings = finished.settings.model_copy(
        update={"probes": finished.settings.probes.model_copy(update={"draws": 200})}
    )
    ran = run_study(Study(settings, finished.folder))
    assert "probe accuracy" in ran
    assert not any(name.startswith(("train", "cache")) for name in ran)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("limit=4", "was made with another prompts_sha256"),
        ("seed=7", "was made with another (pairs_sha256|seed)"),
        ("adapters.aligned.number=8", "was made with another n_pairs"),
        ("name=other", "holds a study with name 'tiny', not 'other'"),
    ],
)
def test_results_of_other_settings_are_refused(finished: Study, change: str, message: str) -> None:
    path = finished.folder.parent / "file.yaml"
    before = (finished.folder / "study.yaml").read_text()
    with pytest.raises((StudyError, CacheError), match=message):
        run_study(Study(load_study(path, [change]), finished.folder))
    assert (finished.folder / "study.yaml").read_text() == before


def test_a_study_tells_how_far_it_is_and_what_stages_took(finished: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    (finished.folder / "tables" / "pca.csv").unlink()
    seen: dict[str, journal.StageStanding] = {}
    monkeypatch.setattr(journal, "INTERVAL", 0.0)

    def look(event: Event) -> None:
        if event.state == "progress":
            now = journal.standing(finished.folder)
            assert now.state == "running"
            seen[event.stage] = next(stage for stage in now.stages if stage.name == event.stage)
            assert (seen[event.stage].state, seen[event.stage].done) == ("running", event.done)

    run_study(finished, look)
    assert (seen["probe pca"].total, seen["probe pca"].unit) == (2, "layers")
    now = journal.standing(finished.folder)
    told = {stage.name: stage for stage in now.stages}
    assert (now.state, now.process) == ("finished", os.getpid())
    assert (told["cache base"].state, told["probe pca"].state) == ("skipped", "finished")
    assert told["cache base"].seconds > 0  # of the run that made it
    printed = CliRunner().invoke(cli.app, ["study", "watch", str(finished.folder), "--once"], env={"COLUMNS": "80"})
    assert f"finished, {len(now.stages)} of {len(now.stages)} stages complete" in " ".join(printed.stdout.split())
    assert "probe pca" in printed.stdout
    machine = json.loads(CliRunner().invoke(cli.app, ["study", "watch", str(finished.folder), "--json"]).stdout)
    assert [row["name"] for row in machine["rows"]] == list(told)
    assert (machine["state"], machine["process"]) == ("finished", os.getpid())


def test_what_ended_a_study_is_told(finished: Study) -> None:
    def fail(event: Event) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run_study(finished, fail)
    watched = CliRunner().invoke(cli.app, ["study", "watch", str(finished.folder), "-v"])
    assert watched.exit_code == 1
    assert "failed" in watched.stdout
    assert "OSError: disk full" in watched.stdout
    assert f"Next: babelscope study run {finished.folder}/study.yaml --out {finished.folder}" in watched.stderr
    load_study(finished.folder / "study.yaml")

    def interrupt(event: Event) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(finished, interrupt)
    ended = journal.standing(finished.folder)
    assert (ended.state, ended.reason) == ("stopped", "interrupted; the same command goes on from here")


def test_what_is_no_study_is_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"tells of no run.*study run FILE --out"):
        journal.standing(tmp_path)
    (tmp_path / journal.NAME).write_text('{"state": 1}')
    with pytest.raises(StudyError, match="is not what a run writes"):
        journal.standing(tmp_path)


def test_a_folder_in_use_is_refused(finished: Study) -> None:
    import fcntl

    with (finished.folder / ".lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="is in use by another run"):
            run_study(finished)


def test_a_plan_counts_without_a_model(study_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("babelscope.models.open_model", lambda *args, **kwargs: pytest.fail("opened the model"))
    rows = {row.name: row for row in plan_study(Study(load_study(study_file()), tmp_path / "run"))}
    assert rows["train aligned"].prompts == 10
    assert rows["cache base"].prompts == 24
    assert rows["cache base"].tokens > 24 * 10
    assert 24 * 2000 > rows["cache base"].disk - 2 * 24 * 4 * 32 * 4 > 0  # states in float32, and the texts
    assert {row.state for row in rows.values()} == {"to do"}
    monkeypatch.setattr("babelscope.terminal.tables.screen_width", lambda: WIDTH)
    arguments = ["study", "run", str(study_file()), "--out", str(tmp_path / "run"), "--plan", "-v"]
    told = CliRunner().invoke(cli.app, arguments)
    assert_fits(told.stdout, [{"prompts": rows["cache base"].prompts}])
    assert told.stderr.splitlines()[-1] == f"Next: babelscope {shlex.join(arguments[:-2])}"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, r"modle: Extra inputs.*Did you mean 'model'"),
        ({"limit": 0}, r"limit: .*greater than or equal to 1.*found 0"),
        ({"adapters": {"aligned": {"pairs": []}}}, r"adapters\.aligned\.pairs"),
        ({"adapters": {"base": {"pairs": ["zh-en"]}}}, "not `base`"),
        ({"adapters": {"../x": {"pairs": ["zh-en"]}}}, "a name is letters"),
        ({"adapters": {"a": {"pairs": ["zh-en"], "preset": "desktop"}}}, "preset 'desktop' is unknown. Known: laptop"),
        ({"adapters": {"a": {"pairs": ["zh-en"], "recipe": {"rnak": 4}}}}, r"recipe\.rnak is unknown. Known: rank"),
        ({"adapters": {"a": {"pairs": ["zh-xx"]}}}, "Unknown language 'xx'"),
        ({"languages": ["zh", "klingon"]}, "Unknown language 'klingon'"),
        ({"task": "nil"}, "Unknown task 'nil'. Did you mean 'nli'"),
        ({"shots": 50}, "shots: .*less than or equal to 8"),
        ({"probes": {"names": ["accuracy", "tsne"]}}, "Unknown probe 'tsne'"),
        ({"probes": {"pivot": "fr"}}, "Pivot 'fr' is not among"),
        ({"probes": {"layers": [99]}}, "Layer 99 was asked for; the model has layers 0 to 3"),
        ({"adapters": {"a": {"pairs": ["zh-en"], "recipe": {"epochs": 1.5}}}}, r"recipe\.epochs: .*integer"),
        (
            {"adapters": {"a": {"pairs": ["zh-en"], "recipe": {"learning_rate": -1}}}},
            r"recipe\.learning_rate: .*greater",
        ),
    ],
)
def test_mistakes_in_a_study_file_are_named_before_anything_runs(
    study_file: Write, tmp_path: Path, changes: dict[str, object], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("babelscope.models.open_model", lambda *args, **kwargs: pytest.fail("opened the model"))
    with pytest.raises(UsageError, match=message):
        run_study(Study(load_study(study_file(**changes)), tmp_path / "run"))


def test_much_disk_is_taken_only_when_it_was_agreed_to(study_file: Write, tmp_path: Path) -> None:
    kept = {
        "keep": ["last", "mean", "all"],
        "limit": 2,
        "adapters": {},
        "probes": {"names": ["accuracy"], "draws": 100},
    }
    arguments = ["study", "run", str(study_file(**kept)), "--out", str(tmp_path / "run")]
    refused = CliRunner().invoke(cli.app, arguments)
    assert isinstance(refused.exception, UsageError)
    assert "MB for states/last, states/mean, states/all. Give --yes to go on." in str(refused.exception)
    assert not (tmp_path / "run").exists()
    assert CliRunner().invoke(cli.app, [*arguments, "--yes"]).exit_code == 0
    assert CliRunner().invoke(cli.app, arguments).exit_code == 0  # complete: nothing more is written


def test_overrides(study_file: Write) -> None:
    settings = load_study(study_file(), ["limit=3", "probes.draws=300", "languages=[en, de]"])
    assert (settings.limit, settings.probes.draws, settings.languages) == (3, 300, ["en", "de"])
    assert load_study(study_file(), ["languages=[en, no]"]).languages == ["en", "no"]  # not a boolean
    for wrong in ("limit", "=3", "limit.x=3", "limit=[1"):
        with pytest.raises(UsageError, match="--set"):
            load_study(study_file(), [wrong])


def test_unreadable_study_files_are_explained(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        load_study(tmp_path / "none.yaml")
    for text, message in (
        ("a: [", "not valid YAML"),
        ("- 1", "holds no settings"),
        ("!!python/name:os.system", "YAML"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UsageError, match=message):
            load_study(tmp_path / "bad.yaml")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 1.0, 2.5])
def test_a_killed_study_goes_on(
    study_file: Write, tmp_path: Path, finished: Study, delay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL some time after the first stage begins; a second run completes, with the same caches and tables."""
    command = [sys.executable, "-m", "babelscope", "study", "run", str(study_file()), "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert process.stderr is not None
    process.stderr.readline()
    time.sleep(delay)
    study = Study(load_study(study_file()), tmp_path / "run")
    monkeypatch.setattr(journal, "LIVELY", 0.0)  # whatever it tells, the lock proves
    before = journal.standing(study.folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    after = journal.standing(study.folder)
    assert (before.state, after.state, after.process) == ("running", "stopped", process.pid)
    assert [stage.name for stage in after.stages] == [stage.name for stage in study.stages()]
    run_study(study)
    assert journal.standing(study.folder).state == "finished"
    assert (study.folder / "manifest.json").is_file()
    assert not list(study.folder.rglob("*.partial*"))
    for table in ("accuracy", "logit_lens"):
        mine, theirs = (pd.read_csv(s.folder / "tables" / f"{table}.csv") for s in (study, finished))
        keys = [c for c in ("language", "condition", "layer", "position", "quantity") if c in mine]
        value = "accuracy" if table == "accuracy" else "value"
        pd.testing.assert_frame_equal(mine[[*keys, value]], theirs[[*keys, value]], rtol=1e-4, atol=1e-5)
