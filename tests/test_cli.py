"""The command line as a user meets it: in its own process, with right and wrong input."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from babelscope import cli
from babelscope.activations.store import Cache
from babelscope.errors import BabelscopeError, StudyError, UsageError
from babelscope.terminal.tables import arranged
from rich.console import Console
from screens import WIDTH, assert_fits
from typer.testing import CliRunner, Result

COMMANDS = [
    [],
    ["models"],
    ["models", "list"],
    ["models", "import"],
    ["models", "doctor"],
    ["tasks", "list"],
    ["tasks", "show"],
    ["tasks", "check"],
    ["train"],
    ["cache"],
    ["eval"],
    ["probes"],
    ["probe"],
    ["explain"],
    ["plot"],
    ["report"],
    ["study", "run"],
    ["study", "watch"],
]


def babelscope(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "babelscope", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def invoke(*arguments: object) -> Result:
    """In this process, as fast as a call; what main() does with errors is left to `babelscope`."""
    return CliRunner().invoke(cli.app, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Path:
    """A folder with an adapter and two caches, made by the commands themselves."""
    folder, model = tmp_path_factory.mktemp("cli"), tiny_folder("qwen2")
    common = ("--model", model, "--dtype", "float32", "--device", "cpu", "--json")
    trained = invoke("train", *common, "--pairs", "zh-en", "--number", 10, "--out", folder / "adapter")
    assert trained.exit_code == 0, trained.output
    shape = ("--languages", "en,zh,sw", "--shots", 1, "--limit", 6)
    assert invoke("cache", *common, *shape, "--out", folder / "base.h5").exit_code == 0
    shutil.copy(folder / "base.h5", folder / "other.h5")
    adapter = ("--adapter", folder / "adapter")
    assert invoke("cache", *common, *shape, *adapter, "--out", folder / "aligned.h5").exit_code == 0
    return folder


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_has_an_example(command: list[str]) -> None:
    result = invoke(*command, "--help")
    assert result.exit_code == 0
    if command and command not in (["models"],):
        assert "Example: " in " ".join(result.output.replace("│", " ").split())


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = "('torch', 'pandas', 'h5py', 'transformers', 'pydantic')"
    code = f"import sys; from babelscope.cli import app; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert result.stdout.strip() == "[]"


def test_train_then_cache_then_eval(caches: Path) -> None:
    result = invoke("eval", caches / "base.h5", caches / "aligned.h5", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert {row["language"] for row in printed["rows"]} == {"en", "zh", "sw"}
    assert {row["language"]: row["trained"] for row in printed["rows"]} == {"en": True, "zh": True, "sw": False}
    assert any("aligned: mean accuracy over all 3 languages" in line for line in printed["verdict"])
    assert invoke("eval", caches / "base.h5", "--limit", 3).exit_code == 0


PROBES = ("accuracy", "logit-lens", "tuned-lens", "pca", "alignment", "linear", "neurons", "subspace", "attribution")


@pytest.mark.parametrize("name", PROBES)
def test_probe_writes_tables_and_figures(caches: Path, tmp_path: Path, name: str) -> None:
    arguments = (caches / "base.h5", caches / "aligned.h5", "--out", tmp_path, "--draws", 100, "--layers", "1,3")
    result = invoke("probe", name, *arguments, "--json")
    assert result.exit_code == 0, result.output
    files = [Path(row["file"]) for row in json.loads(result.stdout)["rows"]]
    assert all(file.is_file() for file in files)
    assert {file.suffix for file in files} == {".csv", ".png", ".pdf"}
    drawn = invoke("plot", tmp_path / "tables", "--out", tmp_path / "again", "--json")
    names = {Path(row["file"]).name for row in json.loads(drawn.stdout)["rows"]}
    assert names == {file.name for file in files if file.suffix != ".csv"}
    assert invoke("report", tmp_path).exit_code == 0
    assert "<html" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_report_tells_what_the_caches_that_it_was_given_hold(caches: Path, tmp_path: Path) -> None:
    given = [caches / "base.h5", caches / "aligned.h5"]
    assert invoke("probe", "pca", *given, "--out", tmp_path, "--layers", "1").exit_code == 0
    found = {}
    for name, paths in (("without", []), ("with", given)):
        made = invoke("report", tmp_path, *paths, "--json")
        assert made.exit_code == 0
        assert "report: 2/2 parts in" in made.stderr  # one figure, and the page
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        found[name] = json.loads(page.split('id="data">')[1].split("</script>")[0])["studies"][0]
    assert found["without"]["examples"] is found["without"]["training"] is None
    examples = found["with"]["examples"]
    assert list(examples["answers"]) == ["base", "aligned"]
    with Cache(given[1]) as cache:
        assert examples["text"][0][0] == cache.examples()["text"][0]
        assert cache.attributes["adapter_sha256"] in page
    steps = (caches / "adapter" / "training.csv").read_text(encoding="utf-8").splitlines()[1:]
    (curve,) = found["with"]["training"]
    assert (curve["name"], len(curve["training"])) == ("aligned", len(steps))
    (tmp_path / "tables" / "nli").mkdir()
    shutil.copy(tmp_path / "tables" / "pca.csv", tmp_path / "tables" / "nli")
    refused = invoke("report", tmp_path, *given).exception
    assert isinstance(refused, UsageError)
    assert "holds several tests (nli), each with its caches" in str(refused)


def test_probe_leaves_nothing_older_of_its_own(caches: Path, tmp_path: Path) -> None:
    for given in (("pca", "base.h5"), ("linear", "base.h5", "aligned.h5"), ("linear", "base.h5")):
        files = [caches / name for name in given[1:]]
        assert invoke("probe", given[0], *files, "--out", tmp_path, "--draws", 100, "--layers", "1").exit_code == 0
    assert {path.stem for path in (tmp_path / "tables").iterdir()} == {"pca", "pca_variance", "linear_probe"}
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"pca", "linear_probe"}


def test_plot_draws_caches_and_tables_as_it_is_told(caches: Path, tmp_path: Path) -> None:
    base, aligned = caches / "base.h5", caches / "aligned.h5"
    shape = ("--languages", "en,sw", "--layers", "1,3", "--style", "dark", "--width", "one")
    drawn = invoke("plot", base, aligned, "--out", tmp_path, *shape, "--format", "svg", "--animate", "gif", "--json")
    assert drawn.exit_code == 0, drawn.output
    names = [Path(row["file"]).name for row in json.loads(drawn.stdout)["rows"]]
    assert names == ["accuracy.svg", "auc.svg", "predicted_share.svg", "pca.svg", "pca_layers.gif"]
    picture = (tmp_path / "pca.svg").read_text(encoding="utf-8")
    assert "layer 3" in picture
    assert ">sw</text>" in picture
    assert ">zh</text>" not in picture
    assert "#15181e" in picture  # dark paper
    assert invoke("probe", "logit-lens", base, "--out", tmp_path, "--draws", 100, "--layers", 3).exit_code == 0
    table = tmp_path / "tables" / "logit_lens.csv"
    drawn = invoke("plot", table, "--out", tmp_path / "one", "--format", "png", "--json")
    names = {Path(row["file"]).name for row in json.loads(drawn.stdout)["rows"]}
    assert names == {"logit_lens.png", "lens_summaries.png"}


def test_probe_of_the_base_alone(caches: Path, tmp_path: Path) -> None:
    for name in ("accuracy", "alignment", "attribution"):
        assert invoke("probe", name, caches / "base.h5", "--out", tmp_path, "--draws", 100).exit_code == 0
    assert not (tmp_path / "tables" / "accuracy_delta.csv").exists()


def test_doctor(tiny_folder: Callable[[str], Path], caches: Path) -> None:
    result = invoke("models", "doctor", tiny_folder("qwen2"), "--adapter", caches / "adapter", "--json")
    findings = {row["check"]: row["passed"] for row in json.loads(result.stdout)["rows"]}
    assert len(findings) == 11
    console = Console(width=WIDTH, record=True, quiet=True)
    for table in arranged(json.loads(result.stdout)["rows"], WIDTH):
        console.print(table)
    assert_fits(console.export_text(), [])
    for check in (
        "shared prefix = full forward",
        "lens at last layer = logits",
        "TransformerLens resid_post = states",
        "adapter attached = merged",
        "own label words distinguishable",
    ):
        assert findings[check], check
    # The tiny tokenizer needs more tokens than the tiny context has for languages it was not trained on.
    assert result.exit_code == (0 if all(findings.values()) else 1)


LISTINGS = [
    ("eval", "BASE", "ALIGNED"),
    ("cache", "ls", "FOLDER"),
    ("cache", "info", "BASE"),
    ("cache", "verify", "BASE"),
    ("probes",),
    ("tasks", "list"),
    ("models", "list"),
]


@pytest.mark.parametrize("arguments", LISTINGS, ids=" ".join)
def test_listings_fit_a_terminal(caches: Path, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    places = {"BASE": caches / "base.h5", "ALIGNED": caches / "aligned.h5", "FOLDER": caches}
    command = [places.get(argument, argument) for argument in arguments]
    rows = json.loads(invoke(*command, "--json").stdout)["rows"]
    monkeypatch.setattr("babelscope.terminal.tables.screen_width", lambda: WIDTH)
    printed = invoke(*command).stdout
    told = [{name: value for name, value in row.items() if arguments[0] != "eval" or name in cli.TOLD} for row in rows]
    assert_fits(printed, told)


def test_verbose_says_what_is_opened_how_it_runs_and_where_files_go(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    arguments = ("--model", tiny_folder("qwen2"), "--out", tmp_path / "b.h5", "--languages", "en", "--limit", 4)
    result = invoke("cache", *arguments, "-v")
    assert result.exit_code == 0, result.output
    for said in (
        "opened from",
        "on cpu in",
        "4 prompts in 1 batches of up to 4 rows",
        "prefix tokens",
        "wrote",
        "Next: ",
    ):
        assert said in result.stderr, said
    assert "opened from" not in result.stdout


def test_lists() -> None:
    assert "gemma-3-270m" in invoke("models", "list").output
    tasks = json.loads(invoke("tasks", "list", "--json").stdout)["rows"]
    assert tasks[0]["languages"] == 20
    assert '情感: "' in invoke("tasks", "show", "sentiment", "--languages", "zh").output
    checked = json.loads(invoke("tasks", "check", "--json").stdout)
    assert checked["findings"] == []


@pytest.mark.parametrize("command", ["explain", "report"])
def test_tables_that_are_not_whole_are_told(command: str, tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    table = tmp_path / "tables" / "accuracy_delta.csv"
    table.write_text("language,condition,quantity,base,aligned\nen,aligned,auc,0.5,0.6\n", encoding="utf-8")
    result = invoke(command, tmp_path)
    assert isinstance(result.exception, StudyError)
    assert re.search("it lacks .*Make it again with `babelscope probe`", str(result.exception))
    table.write_bytes(b"\xcd\xff\x00")
    result = invoke(command, tmp_path)
    assert isinstance(result.exception, StudyError)
    assert f"{table} cannot be read as a CSV table" in str(result.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]


def test_what_an_interruption_leaves_is_told(tmp_path: Path) -> None:
    """Ctrl-C goes through typer, which ends with a code and no word."""
    code = (
        "import sys; from babelscope import cli, commands; sys.argv = ['babelscope', 'explain', '.']\n"
        "def stop(*given): raise KeyboardInterrupt\n"
        "commands.explain = stop; cli.main()"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == cli.INTERRUPTED
    assert ended.stderr.strip() == "Interrupted. What was complete is kept; run the same command again to go on."


def test_nothing_is_imported_before_its_terms_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BABELSCOPE_HOME", str(tmp_path))
    result = CliRunner().invoke(cli.app, ["models", "import", "gemma-3-270m"], input="n\n")
    assert "Gemma Terms of Use" in result.stderr
    assert isinstance(result.exception, UsageError)
    assert list(tmp_path.iterdir()) == []


WRONG = [
    (("eval", "ALIGNED", "OTHER"), "The first cache is the base", 2),
    (("cache", "--model", "MODEL", "--out", "FOLDER"), "is a folder; a cache is one file", 1),
    (("cache", "--model", "MODEL", "--out", "FILE/x.h5"), "cannot be written", 1),
    (("train", "--model", "MODEL", "--pairs", "zh-en", "--out", "FILE/x"), "cannot be written", 2),
    (("probe", "accuracy", "BASE", "--out", "FILE"), "cannot be written", 1),
    (("train", "--model", "MODEL", "--pairs", "zhen", "--out", "OUT"), "not of the form SOURCE-TARGET", 2),
    (
        ("train", "--model", "MODEL", "--pairs", "zh-en", "--out", "OUT", "--preset", "big"),
        "preset 'big' is unknown",
        2,
    ),
    (("train", "--model", "nowhere", "--pairs", "zh-en", "--out", "OUT"), "Unknown model 'nowhere'", 1),
    (("cache", "--model", "MODEL", "--out", "OUT", "--languages", "xx"), "Unknown language 'xx'", 2),
    (("cache", "--model", "MODEL", "--out", "OUT", "--shots", "40"), "40 shots were", 2),
    (("cache", "--model", "MODEL", "--out", "OUT", "--task", "nil"), "Unknown task 'nil'", 2),
    (("cache", "--model", "MODEL", "--out", "OUT", "--dtype", "int8"), "dtype 'int8'", 2),
    (("cache", "--model", "MODEL", "--out", "OUT", "--adapter", "nowhere"), "no adapter_config.json", 1),
    (("eval", "nowhere.h5"), "does not exist. Make it with `babelscope cache`", 1),
    (("probe", "tsne", "BASE", "--out", "OUT"), "Unknown probe 'tsne'. Known: accuracy", 2),
    (("probe", "pca", "BASE", "--out", "OUT", "--layers", "one"), "--layers 'one' is not a list of numbers", 2),
    (("probe", "pca", "BASE", "--out", "OUT", "--layers", "77"), "Layer 77 was asked for", 2),
    (
        ("probe", "alignment", "BASE", "--out", "OUT", "--pivot", "fr"),
        "The pivot 'fr' is compared with other languages",
        2,
    ),
    (("probe", "pca", "BASE", "BASE", "--out", "OUT"), "two are alike", 2),
    (("plot", "nowhere", "--out", "OUT"), "holds no CSV tables", 1),
    (("plot", "nowhere.csv", "--out", "OUT"), "nowhere.csv is not there. Give a CSV table, a folder", 1),
    (("plot", "BASE", "nowhere", "--out", "OUT"), "Caches and tables do not go together", 2),
    (("plot", "BASE", "--out", "OUT", "--style", "sepia"), "No style 'sepia' for figures. Known: light, dark", 2),
    (("plot", "BASE", "--out", "OUT", "--format", "bmp"), "No figure format 'bmp'. Known: png, pdf, svg", 2),
    (("plot", "BASE", "--out", "OUT", "--languages", "fr"), "No language 'fr' in the tables", 2),
    (("report", "nowhere"), "nowhere is no folder", 1),
    (("explain", "nowhere"), "nowhere is no folder", 1),
    (("eval", "."), "is a folder. Give a cache in it", 1),
    (("study", "run", "nowhere.yaml", "--out", "OUT"), "cannot be read", 2),
    (("models", "import", "llama"), "not a packaged model", 2),
    (("tasks", "show", "sentiment", "--languages", "english"), "Did you mean 'en'", 2),
    (("tasks", "check", "nowhere"), "is no folder in the authors' layout", 2),
]


@pytest.mark.parametrize(("arguments", "message", "code"), WRONG, ids=[" ".join(w[0][:3]) + str(w[2]) for w in WRONG])
def test_mistakes_raise_what_main_turns_into_exit_codes(
    tmp_path: Path,
    caches: Path,
    tiny_folder: Callable[[str], Path],
    arguments: tuple[str, ...],
    message: str,
    code: int,
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    places = {
        "MODEL": tiny_folder("qwen2"),
        "OUT": tmp_path / "out",
        "FOLDER": tmp_path / "folder",
        "FILE": tmp_path / "file",
        "FILE/x": tmp_path / "file" / "x",
        "FILE/x.h5": tmp_path / "file" / "x.h5",
        "BASE": caches / "base.h5",
        "ALIGNED": caches / "aligned.h5",
        "OTHER": caches / "other.h5",
    }
    result = invoke(*(places.get(a, a) for a in arguments))
    assert isinstance(result.exception, BabelscopeError), result.output
    assert message in str(result.exception)
    assert isinstance(result.exception, UsageError) == (code == 2)
    assert not (tmp_path / "out").exists()


def test_main_prints_one_message_without_traceback(tmp_path: Path) -> None:
    for arguments, code in ((("eval", "nowhere.h5"), 1), (("tasks", "show", "nil"), 2), (("evla",), 2)):
        result = babelscope(*arguments, cwd=tmp_path)
        assert result.returncode == code
        assert "Traceback" not in result.stderr
    for arguments in (("--debug", "eval", "nowhere.h5"), ("eval", "nowhere.h5", "--debug")):
        assert "Traceback" in babelscope(*arguments, cwd=tmp_path).stderr


def test_piped_progress_is_plain_lines(caches: Path, tiny_folder: Callable[[str], Path], tmp_path: Path) -> None:
    arguments = ("--model", tiny_folder("qwen2"), "--out", tmp_path / "b.h5", "--languages", "en", "--limit", 4)
    result = babelscope("cache", *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "cache: 4/4" in result.stderr
    assert "\x1b" not in result.stderr + result.stdout
