"""A grid on a tiny model: several tests, adapters, seeds and controls; what is impossible is said first."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import yaml
from babelscope.activations.store import Cache
from babelscope.errors import BabelscopeError, UsageError
from babelscope.settings import load_study
from babelscope.study.plan import KNOWN, plan_study
from babelscope.study.run import run_study
from babelscope.study.stages import Study

RECIPE = {"epochs": 1, "pairs_per_step": 4, "learning_rate": 0.01}
SETTINGS = {
    "name": "grid",
    "languages": ["en", "zh", "de"],
    "limit": 6,
    "shots": 2,
    "dtype": "float32",
    "device": "cpu",
    "keep": [],
    "translate_test": "en",
    "tests": {
        "plain": {},
        "nli": {"task": "nli", "shots": 3},
        "own": {"words": "own", "demonstration_seeds": [1, 2], "scoring": "paper"},
    },
    "adapters": {
        "zh": {"pairs": ["zh-en"], "number": 8, "seeds": [0, 1], "recipe": RECIPE},
        "nli-zh": {"cross_task": "nli", "pairs": ["zh-en"], "number": 8, "tests": ["plain"], "recipe": RECIPE},
        "copy": {"objective": "copy", "pairs": ["zh-en"], "number": 8, "tests": ["plain"], "recipe": RECIPE},
        "answers": {"objective": "answer", "pairs": ["en"], "number": 8, "tests": ["plain"], "recipe": RECIPE},
    },
    "contexts": {"in-context": {"pairs": ["zh-en"], "number": 1, "tests": ["plain"]}},
    "probes": {"names": ["accuracy"], "draws": 100},
}


def write(path: Path, model: Path, **changes: object) -> Path:
    path.write_text(yaml.safe_dump(SETTINGS | {"model": str(model)} | changes, sort_keys=False), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[[str], Path]) -> Study:
    folder = tmp_path_factory.mktemp("grid")
    study = Study(load_study(write(folder / "grid.yaml", tiny_folder("llama"))), folder / "run")
    run_study(study)
    return study


@pytest.fixture
def grid(finished: Study) -> pd.DataFrame:
    return pd.read_csv(finished.folder / "tables" / "grid.csv", keep_default_na=False, na_values=[""])


def test_every_condition_stands_in_every_test_that_it_is_asked(grid: pd.DataFrame) -> None:
    conditions = grid.groupby("task", sort=False)["condition"].unique().map(list).to_dict()
    assert conditions == {
        "plain": ["base", "zh", "nli-zh", "copy", "answers", "in-context", "translate-test"],
        "nli": ["base", "zh", "translate-test"],
        "own": ["base", "zh", "translate-test"],
    }
    repeats = grid.set_index(["task", "condition"])["repeats"].to_dict()
    assert repeats["plain", "zh"] == 2  # training seeds
    assert repeats["own", "base"] == 2  # demonstration seeds
    assert repeats["own", "zh"] == 4
    assert set(grid["train_set"]) == {
        *("none", "zh to en", "zh to en (nli questions)", "zh copied", "en answers"),
        *("none, zh to en in context", "none, asked in en"),
    }


def test_tables_texts_and_figures_are_there(finished: Study) -> None:
    for name in ("grid.csv", "grid_delta.csv", "grid_groups.csv", "grid.md", "grid.tex", "nli/accuracy.csv"):
        assert (finished.folder / "tables" / name).stat().st_size > 100, name
    for name in ("grid.png", "grid.pdf", "nli/predicted_share.png", "training_zh@1.png"):
        assert (finished.folder / "figures" / name).stat().st_size > 1000, name
    report = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert "nli/accuracy.csv" in report
    assert "against" in report


def test_a_condition_costs_one_capture_and_scores_alone_are_kept(finished: Study) -> None:
    with Cache(finished.folder / "activations" / "own@2" / "zh@1.h5") as cache:
        assert cache.positions == ()
        assert len(cache.scores().full) == 18
        assert set(cache.content_free()[0]) == {"en", "zh", "de"}
    assert run_study(finished) == []


def test_translate_test_is_english_for_everyone(grid: pd.DataFrame) -> None:
    plain = grid[grid["task"] == "plain"]
    english = plain[(plain["condition"] == "base") & (plain["language"] == "en")]["accuracy"].item()
    assert set(plain[plain["condition"] == "translate-test"]["accuracy"]) == {english}


def test_seeds_and_objectives_make_different_adapters(finished: Study) -> None:
    weights = {
        path.parent.name: path.read_bytes() for path in finished.folder.glob("adapters/*/adapter_model.safetensors")
    }
    assert set(weights) == {"zh@0", "zh@1", "nli-zh", "copy", "answers"}
    assert len(set(weights.values())) == 5


def test_the_translation_adapter_is_compared_with_its_copy(finished: Study) -> None:
    delta = pd.read_csv(finished.folder / "tables" / "grid_delta.csv")
    pairs = set(zip(delta["condition"], delta["against"], strict=True))
    assert ("zh", "copy") in pairs
    assert ("copy", "copy") not in pairs
    assert ("answers", "copy") not in pairs


def test_a_lost_cache_is_made_again_with_nothing_else_but_the_tables(finished: Study) -> None:
    (finished.folder / "activations" / "nli" / "zh@0.h5").unlink()
    assert run_study(finished) == ["cache nli/zh@0"]


ADAPTER = {"pairs": ["zh-en"], "number": 8}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"adapters": {"a": ADAPTER | {"pairs": ["zh-en", "en-de"]}}}, "adapters.a: .*target en is among the sources"),
        ({"adapters": {"a": ADAPTER | {"cross_task": "sentiment"}}}, "cross_task 'sentiment' is the study's own task"),
        ({"adapters": {"a": ADAPTER | {"cross_task": "nil"}}}, "adapters.a: Unknown task 'nil'.*Did you mean 'nli'"),
        ({"adapters": {"a": ADAPTER | {"pairs": ["chinse-en"]}}}, "Did you mean 'zh'"),
        ({"adapters": {"a": ADAPTER | {"tests": ["nil"]}}}, "'nil' is no test of this study. It has: plain, nli, own"),
        ({"adapters": {"a": ADAPTER | {"seeds": [1, 1]}}}, "a seed occurs twice"),
        ({"tests": {"t": {"demonstration_seeds": [0, 0]}}}, "a seed occurs twice"),
        ({"adapters": {"a": ADAPTER | {"control": "b"}}}, "control 'b' is no adapter of this study: a"),
        ({"adapters": {"translate-test": ADAPTER}}, "which are taken"),
        ({"adapters": {"a": ADAPTER | {"pairs": ["zh-en", "zh-en"]}}}, "repeat a direction"),
        ({"adapters": {"a": ADAPTER | {"objective": "answer"}}}, "Unknown language 'zh-en'"),
        (
            {"adapters": {"a": ADAPTER | {"objective": "copied"}}},
            "objective: Input should be 'translate', 'copy', 'shuffle' or",
        ),
        ({"adapters": {"a": ADAPTER | {"number": 5000}}}, "has 1024 pairs for zh-en; 5000 were asked for"),
        ({"adapters": {"in-context": ADAPTER}}, "names both an adapter and a context"),
        ({"tests": {"t": {"task": "nli", "shots": 8}}, "demonstrations": "written", "shots": 9}, "less than or equal"),
        ({"tests": {"t": {"words": ["ox"]}}}, "test 't'.*list of 2 words for negative, positive"),
        ({"tests": {"t": {"words": ["ox", "ox"]}}}, "answers could not be told apart"),
        ({"tests": {"t": {"words": ["ox", "oxen"], "scoring": "paper"}}}, "no answer word may begin another one"),
        ({"tests": {"t": {"instruction": "klingon"}}}, "Unknown language 'klingon'"),
        ({"tests": {"t": {"demonstrations_in": "xx"}}}, "Unknown language 'xx'"),
        ({"tests": {"t": {"data": "nowhere.csv"}}}, "is no folder in the authors' layout"),
        ({"contexts": {"c": {"pairs": ["zh-en", "en-zh"]}}, "adapters": {}}, "is among the sources"),
        ({"contexts": {"c": {"pairs": ["zh-en"], "number": 9999}}, "adapters": {}}, "9999 were asked for"),
        ({"translate_test": "fr"}, "translate_test: 'fr' is not among"),
        ({"probes": {"names": ["pca"]}}, "pca reads states at mean, which `keep: \\[\\]` does not store"),
    ],
)
def test_contradictions_are_named_before_anything_runs(
    tmp_path: Path,
    tiny_folder: Callable[[str], Path],
    changes: dict[str, object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("babelscope.models.open_model", lambda *args, **kwargs: pytest.fail("opened the model"))
    settings = {"contexts": SETTINGS["contexts"]} | changes
    if "tests" in changes:
        settings = {"adapters": {}, "contexts": {}} | changes
    if "adapters" in changes:
        settings = (
            {"contexts": {}} | changes | ({"contexts": SETTINGS["contexts"]} if "in-context" in str(changes) else {})
        )
    with pytest.raises(BabelscopeError, match=message):
        run_study(Study(load_study(write(tmp_path / "s.yaml", tiny_folder("llama"), **settings)), tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_study_extends_another(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    write(tmp_path / "grid.yaml", tiny_folder("llama"))
    small = tmp_path / "small.yaml"
    small.write_text("extends: grid.yaml\nlimit: 2\nadapters: {zh: {number: 4}, copy: null}\n", encoding="utf-8")
    settings = load_study(small)
    assert (settings.limit, settings.name) == (2, "grid")
    assert settings.adapters["zh"].number == 4
    assert settings.adapters["zh"].seeds == [0, 1]
    assert "copy" not in settings.adapters
    small.write_text("extends: small.yaml\n", encoding="utf-8")
    with pytest.raises(UsageError, match="which extends it"):
        load_study(small)


def test_data_without_questions_is_completed_by_the_built_in_ones(
    tmp_path: Path, tiny_folder: Callable[[str], Path]
) -> None:
    rows = "".join(f"{code},positive,{code} text {i}\n" for code in ("en", "zh") for i in range(3))
    (tmp_path / "my.csv").write_text(f"language,label,text\n{rows}", encoding="utf-8")
    path = write(tmp_path / "s.yaml", tiny_folder("llama"), languages="all", tests={}, data=str(tmp_path / "my.csv"),
                 adapters={"zh": ADAPTER}, contexts={})  # fmt: skip
    study = Study(load_study(path), tmp_path / "run")
    notes = {row.name: row.note for row in plan_study(study)}
    assert notes["train zh"] == "questions: built-in"
    rows = {row.name: row.prompts for row in plan_study(study)}
    assert rows["cache base"] == 6
    own = load_study(path, [f"adapters.zh.data={tmp_path / 'my.csv'}"])
    with pytest.raises(BabelscopeError, match="no training questions for zh-en"):
        plan_study(Study(own, tmp_path / "run"))


def test_a_plan_needs_no_model_at_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from babelscope.errors import ModelError

    def no_hub(*args: object, **kwargs: object) -> None:
        raise ModelError("no hub")

    monkeypatch.setattr("babelscope.models.opening.resolve", no_hub)
    path = tmp_path / "s.yaml"
    name = "mistralai/Mistral-7B-v0.1"
    write(path, Path(name), dtype="bfloat16", keep=["last", "mean"])
    rows = {row.name: row for row in plan_study(Study(load_study(path), tmp_path / "run"))}
    cache = rows["cache plain/base"]
    assert "tokens estimated" in cache.note
    assert cache.disk > cache.prompts * 2 * 33 * 4096 * 2
    assert 2 * KNOWN[name].parameters < cache.memory < 3 * KNOWN[name].parameters
    write(path, Path("someone/unknown"))
    with pytest.raises(ModelError, match="no hub"):
        plan_study(Study(load_study(path), tmp_path / "run"))


def test_the_authors_data_runs_through_the_same_file(tmp_path: Path) -> None:
    release = Path(__file__).parents[2] / "shared" / "paper" / "data"
    if not release.is_dir():
        pytest.skip("the authors' release is not on this machine")
    file = Path(__file__).parents[1] / "studies" / "small" / "grid.yaml"
    study = Study(load_study(file, [f"data={release}"]), tmp_path / "run")
    from babelscope.study.checks import check_study

    check_study(study)
    assert study.request(study.asked[0], study.conditions[0]).languages == ("en", "zh", "de", "fr", "hi", "sw")


def test_overrides_touch_one_adapter_even_where_anchors_are_shared(tmp_path: Path) -> None:
    file = Path(__file__).parents[1] / "studies" / "small" / "grid.yaml"
    settings = load_study(file, ["adapters.zh.recipe.epochs=3"])
    assert settings.adapters["zh"].recipe["epochs"] == 3
    assert settings.adapters["sw"].recipe["epochs"] == 1


def test_what_a_study_no_longer_has_leaves_its_folder(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    base = {"adapters": {}, "contexts": {}, "translate_test": None, "languages": ["en", "zh"], "limit": 4}
    path = write(tmp_path / "s.yaml", tiny_folder("llama"), **base, tests={"plain": {}})
    run_study(Study(load_study(path), tmp_path / "run"))
    assert (tmp_path / "run" / "tables" / "accuracy.csv").is_file()
    path = write(tmp_path / "s.yaml", tiny_folder("llama"), **base, tests={"plain": {}, "own": {"words": "own"}})
    run_study(Study(load_study(path), tmp_path / "run"))
    assert not (tmp_path / "run" / "tables" / "accuracy.csv").exists()
    assert (tmp_path / "run" / "tables" / "own" / "accuracy.csv").is_file()
    assert (tmp_path / "run" / "tables" / "grid.csv").is_file()


def test_examples_without_translation_are_named(tmp_path: Path, tiny_folder: Callable[[str], Path]) -> None:
    rows = "".join(f"{code},{n},positive,{code} text {n}\n" for code, n in (("en", 1), ("zh", 1), ("zh", 2)))
    (tmp_path / "my.csv").write_text(f"language,id,label,text\n{rows}", encoding="utf-8")
    common = {"languages": "all", "tests": {}, "adapters": {}, "contexts": {}, "data": str(tmp_path / "my.csv")}
    path = write(tmp_path / "s.yaml", tiny_folder("llama"), **common)
    with pytest.raises(UsageError, match=r"has 1 example.* in 'zh' that are not in 'en', such as '2'"):
        run_study(Study(load_study(path), tmp_path / "run"))
    rows = rows.replace("en,1", "en,7")
    (tmp_path / "my.csv").write_text(f"language,id,label,text\n{rows}", encoding="utf-8")
    path = write(tmp_path / "s.yaml", tiny_folder("llama"), **common, translate_test=None, keep=["last", "mean"],
                 probes={"names": ["pca"]})  # fmt: skip
    with pytest.raises(UsageError, match="no id is in every language"):
        run_study(Study(load_study(path), tmp_path / "run"))
