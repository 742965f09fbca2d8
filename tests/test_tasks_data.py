"""Data of one's own: JSONL, CSV, any dataset through a map of columns; every bad row is named."""

import json
from pathlib import Path

import pytest
from babelscope.errors import DataError, UsageError
from babelscope.tasks import Asking, few_shot_prompts, load_task, question_pairs, read_task

ROWS = [
    {"language": code, "id": str(n), "split": split, "label": label, "premise": f"{code} P{n}", "hypothesis": f"H {n}"}
    for code in ("en", "fr")
    for split, numbers in (("test", range(6)), ("train", range(6, 12)))
    for n, label in zip(numbers, ("entailment", "neutral", "contradiction") * 2, strict=True)
]


def jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def test_jsonl_and_csv_read_the_same(tmp_path: Path) -> None:
    csv = tmp_path / "my.csv"
    lines = ["language,id,split,label,premise,hypothesis"]
    lines += [",".join(f'"{row[c]}"' for c in lines[0].split(",")) for row in ROWS]
    csv.write_text("\n".join(lines), encoding="utf-8-sig")
    one, two = load_task("nli", jsonl(tmp_path / "my.jsonl", ROWS)), load_task("nli", csv)
    assert one.examples == two.examples
    assert one.languages == ("en", "fr")
    assert one.examples["fr"][0].text == "Prémisse: fr P0\nHypothèse: H 0"
    assert len(question_pairs(one, [("fr", "en")], None, seed=0)) == 6
    assert few_shot_prompts(one, "fr", Asking(6))[0].prefix  # the built-in demonstrations


def test_rows_without_ids_are_parallel_by_their_order(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row.items() if k not in ("id", "split")} for row in ROWS if row["split"] == "test"]
    task = load_task("nli", jsonl(tmp_path / "my.jsonl", rows))
    assert [e.id for e in task.examples["en"]] == [e.id for e in task.examples["fr"]]


def test_own_demonstrations_take_the_place_of_the_built_in_ones(tmp_path: Path) -> None:
    rows = [dict(row, split="demonstration") for row in ROWS[:3]] + ROWS
    task = load_task("nli", jsonl(tmp_path / "my.jsonl", rows))
    assert len(task.wordings["en"].demonstrations) == 3
    assert len(task.wordings["fr"].demonstrations) == 9


def test_every_bad_row_is_reported_and_good_ones_counted(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [dict(row) for row in ROWS]
    del rows[1]["premise"]
    rows[2]["label"] = "Contradictoin"
    rows[3]["language"] = "frnch"
    rows[4]["hypothesis"] = " "
    rows[5]["split"] = "tset"
    rows[7]["id"] = rows[6]["id"]
    rows[8]["label"] = 2
    path = jsonl(tmp_path / "my.jsonl", rows)
    path.write_text(path.read_text(encoding="utf-8") + '\n{"language": \n[1]', encoding="utf-8")
    reading = read_task("nli", path)
    assert [(fault.row, fault.field) for fault in reading.faults] == [
        (25, ""),
        (26, ""),
        (2, "premise"),
        (3, "label"),
        (4, "language"),
        (5, "hypothesis"),
        (6, "split"),
        (8, "id"),
        (9, "label"),
    ]
    assert reading.good == 17
    text = "\n".join(map(str, reading.faults))
    for part in ("is missing", "Did you mean 'contradiction'", "Did you mean 'fr'", "is empty", "twice", "not text: 2"):
        assert part in text
    with pytest.raises(
        DataError, match=r"9 fault\(s\), 17 good rows:\n.*row 25.*(\n.*)*and 6 more\n`babelscope tasks check"
    ):
        load_task("nli", path)


def test_ids_may_be_numbers_and_texts_may_hold_line_separators(tmp_path: Path) -> None:
    common = {"label": "neutral", "premise": "Good\u2028day.", "hypothesis": "x"}
    rows = [{"language": "en", "id": 0, **common}, {"language": "en", "id": 1, **common}]
    rows += [{"language": "fr", "id": 1, **common}, {"language": "fr", "id": 0, **common}]
    task = load_task("nli", jsonl(tmp_path / "my.jsonl", rows))
    assert [e.id for e in task.examples["fr"]] == ["1", "0"]
    csv = tmp_path / "my.csv"  # with an index, as pandas writes it
    csv.write_text(",language,label,premise,hypothesis\n0,en,neutral,Good\u2028day.,x\n", encoding="utf-8")
    assert load_task("nli", csv).examples["en"][0].fields["premise"] == "Good\u2028day."


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"\xff\xfe", "byte 0 is not UTF-8"),
        ("a.csv", b"language,label,premise\nen,neutral,x\n", "field 'hypothesis' is missing"),
        ("a.csv", b"language,label,premise,hypothesis\nen,neutral,x,y,z\n", "more cells than the header"),
        ("a.jsonl", b"", "holds no rows"),
        ("a.jsonl", b'{"language":"en","label":"neutral","premise":"a","hypothesis":"b","split":"train"}', "nowhere"),
    ],
)
def test_files_that_are_wrong_as_a_whole(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_task("nli", tmp_path / name)


def test_places_that_hold_no_data_are_explained(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    for place in ("nowhere.jsonl", str(tmp_path / "a.txt")):
        with pytest.raises(UsageError, match="is no folder in the authors' layout"):
            load_task("nli", place)
    with pytest.raises(UsageError, match="Did you mean 'xnli'"):
        load_task("nli", "xnl")
    with pytest.raises(UsageError, match="maps a dataset to the task 'nli', not to 'sentiment'"):
        load_task("sentiment", "xnli")


# Hugging Face datasets, from local files

MAP = """
task = "nli"
dataset = "{builder}"
files = "{{language}}.{{split}}.{builder}"
languages = ["en", "fr"]
splits = {{ test = "validation" }}
fields = {{ premise = "sentence_a", hypothesis = "sentence_b" }}
label = {{ column = "gold", names = ["entailment", "neutral", "contradiction"] }}
"""


@pytest.fixture
def hub_free(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.mark.usefixtures("hub_free")
@pytest.mark.parametrize("builder", ["parquet", "json"])
def test_a_dataset_is_read_through_its_map(tmp_path: Path, builder: str) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "map.toml").write_text(MAP.format(builder=builder), encoding="utf-8")
    for code in ("en", "fr"):
        columns = {"sentence_a": [f"{code} a", "b", "c"], "sentence_b": ["x", "y", "z"], "gold": [0, 2, 7]}
        table = datasets.Dataset.from_dict(columns)
        path = tmp_path / f"{code}.validation.{builder}"
        _ = table.to_parquet(path) if builder == "parquet" else table.to_json(path)
    reading = read_task("nli", tmp_path / "map.toml")
    assert [e.label for e in reading.task.examples["fr"]] == ["entailment", "contradiction"]
    assert reading.task.examples["fr"][0].text == "Prémisse: fr a\nHypothèse: x"
    assert [(fault.row, fault.field) for fault in reading.faults] == [(3, "label"), (3, "label")]
    assert "parquet en validation: row 3" in str(reading.faults[0]) or builder == "json"
    assert "'number 7' is none of" in str(reading.faults[0])
    text = (tmp_path / "map.toml").read_text(encoding="utf-8").replace('gold",', 'gold", skip = [7],')
    (tmp_path / "skipping.toml").write_text(text, encoding="utf-8")
    assert read_task("nli", tmp_path / "skipping.toml").faults == ()


@pytest.mark.usefixtures("hub_free")
def test_columns_and_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    (tmp_path / "map.toml").write_text(MAP.format(builder="parquet"), encoding="utf-8")
    with pytest.raises(DataError, match=r"en\.validation\.parquet does not exist"):
        load_task("nli", tmp_path / "map.toml")
    for code in ("en", "fr"):
        datasets.Dataset.from_dict({"a": ["x"], "gold": [0]}).to_parquet(tmp_path / f"{code}.validation.parquet")
    faults = read_task("nli", tmp_path / "map.toml").faults
    assert str(faults[0]).endswith("field 'sentence_a' is not among its columns: a, gold")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('task = "nli"', 'taks = "nli"', "taks: Extra inputs"),
        ('premise = "sentence_a", ', "", "fields are hypothesis; expected hypothesis, premise"),
        ('"neutral", ', "", "label.names are"),
        ('["en", "fr"]', '["en", "xx"]', "Unknown language 'xx'"),
        ("test =", "tset =", "splits must have `test`"),
        ("task", "task [", "cannot be read as a map"),
        ("{split}", "{part}", "may hold {language} and {split} and no other braces"),
    ],
)
def test_wrong_maps_are_explained(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = MAP.format(builder="parquet")
    assert old in text
    (tmp_path / "map.toml").write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        load_task("nli", tmp_path / "map.toml")
