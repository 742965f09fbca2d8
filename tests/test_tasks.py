"""The text itself, how prompts and pairs are made of it, and the authors' layout."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from babelscope.errors import DataError, UsageError
from babelscope.tasks import (
    KINDS,
    Asking,
    few_shot_prompts,
    language,
    languages,
    load_task,
    parse_direction,
    question_pairs,
    select_languages,
)
from babelscope.tasks.banks import read_bank
from babelscope.tasks.check import check_task, script_share
from sklearn.metrics import roc_auc_score

TASK = load_task("sentiment")
CODES = "en zh de fr es it nl ja ru sv sl pl bg no ms is hi th sw bn".split()  # noqa: SIM905


def test_twenty_languages() -> None:
    assert list(languages()) == CODES
    assert list(TASK.languages) == CODES


@pytest.mark.parametrize("name", KINDS)
def test_the_text_is_sound_in_every_language(name: str) -> None:
    """Every id everywhere, nothing empty or doubled, the right script, and an identifier that agrees."""
    report = check_task(load_task(name))
    assert report.findings == ()
    assert min(report.identified.values()) >= 0.98


@pytest.mark.parametrize("code", CODES)
def test_enough_text(code: str) -> None:
    examples, questions = TASK.examples[code], TASK.questions[code]
    assert len(examples) >= 120
    assert len({question.text for question in questions}) >= 1000
    for n in (16, 120, 128, len(examples)):
        assert sum(example.label == "positive" for example in examples[:n]) == n // 2
    assert len({example.id.split("-")[0] for example in examples[:120]}) >= 6


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", KINDS)
def test_train_and_test_share_no_sentence(name: str, code: str) -> None:
    def sentences(part: object) -> set[str]:
        if isinstance(part, str):
            return {part}
        return set().union(*map(sentences, part.values() if isinstance(part, dict) else part))  # type: ignore[call-overload]

    bank = read_bank(name, code)
    train, test, shots = (sentences(bank[part]) for part in ("train", "test", "demonstrations"))
    assert len(train) + len(test) >= 100
    assert not train & test
    assert not shots & (train | test)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("name", ["nli", "paraphrase"])
def test_enough_items_of_every_label(name: str, code: str) -> None:
    task = load_task(name)
    examples, questions = task.examples[code], task.questions[code]
    assert len(examples) == 120
    assert len({question.text for question in questions}) >= 600
    assert len(task.wordings[code].demonstrations) >= 8
    for n in (30, 60, 120):  # every prefix that a limit may take is balanced
        assert Counter(e.label for e in examples[:n]) == dict.fromkeys(task.labels, n // len(task.labels))
    words = list(task.wordings[code].label_words.values())
    assert not any(a != b and b.startswith(a) for a in words for b in words)


def test_ids_and_labels_are_parallel_in_every_task() -> None:
    for name in KINDS:
        task = load_task(name)
        for part in (task.examples, task.questions):
            assert len({tuple((e.id, e.label) for e in examples) for examples in part.values()}) == 1


def test_every_premise_has_one_hypothesis_of_each_label() -> None:
    task = load_task("nli")
    by_premise: dict[str, set[str]] = {}
    for example in task.examples["en"]:
        by_premise.setdefault(example.fields["premise"], set()).add(example.label)
    assert len(by_premise) == 40
    assert set(map(frozenset, by_premise.values())) == {frozenset(task.labels)}


@pytest.mark.parametrize("code", CODES)
def test_overlap_cannot_solve_paraphrase(code: str) -> None:
    """Pairs that mean the same and pairs that do not overlap alike: in words, or in pairs of characters."""
    pattern = r"(?=(..))" if code in ("zh", "ja", "th") else r"\w+"
    overlap, same = [], []
    for example in load_task("paraphrase").examples[code]:
        one, two = (set(re.findall(pattern, example.fields[f"sentence{k}"].lower())) for k in (1, 2))
        overlap.append(len(one & two) / len(one | two))
        same.append(example.label == "same")
    assert 0.45 <= roc_auc_score(same, overlap) <= 0.55


def test_prompts_are_demonstrations_text_and_slot() -> None:
    (prompt,) = few_shot_prompts(TASK, "de", Asking(2), 1)
    assert prompt.full == prompt.prefix + prompt.example.text + prompt.slot
    assert prompt.prefix.count('"positive"') == prompt.prefix.count('"negative"') == 1
    assert prompt.full.endswith('\nStimmung: "')
    assert few_shot_prompts(TASK, "de", Asking(0), 1)[0].prefix == ""


def test_limits_of_prompts_are_named() -> None:
    with pytest.raises(UsageError, match="has 8 written demonstrations in 'de'; 9 shots were asked for"):
        few_shot_prompts(TASK, "de", Asking(9))
    with pytest.raises(UsageError, match="at least 1 example"):
        few_shot_prompts(TASK, "de", Asking(2), 0)


def test_pairs_are_parallel_deterministic_and_without_answers() -> None:
    pairs = question_pairs(TASK, [("zh", "en"), ("sw", "en")], 20, seed=1)
    assert pairs == question_pairs(TASK, [("zh", "en"), ("sw", "en")], 20, seed=1)
    assert pairs != question_pairs(TASK, [("zh", "en"), ("sw", "en")], 20, seed=2)
    english = {question.id: question.text for question in TASK.questions["en"]}
    for pair in pairs:
        assert pair.output == english[pair.id] + '\nEmotion: "'
    assert [pair.source for pair in pairs] == ["zh"] * 20 + ["sw"] * 20
    with pytest.raises(UsageError, match="has 1024 pairs for zh-en; 2000 were asked for"):
        question_pairs(TASK, [("zh", "en")], 2000, seed=1)


def test_languages_are_resolved_or_explained() -> None:
    assert select_languages("zh, de,zh", CODES, "x") == ["zh", "de"]
    assert select_languages("all", ["en", "sw"], "x") == ["en", "sw"]
    with pytest.raises(UsageError, match=r"Unknown language 'german'\. Did you mean 'de'"):
        language("german")
    with pytest.raises(UsageError, match=r"Unknown language 'chinesse'\. Did you mean 'zh'"):
        language("chinesse")
    with pytest.raises(UsageError, match=r"task 'nli' has no data in 'th' \(Thai\)"):
        select_languages(["th"], ["en"], "task 'nli'")
    with pytest.raises(UsageError, match="No language was named"):
        select_languages("", CODES, "x")


def test_directions_are_parsed_or_explained() -> None:
    assert parse_direction("zh-en") == ("zh", "en")
    for wrong in ("zhen", "zh-en-de", "en-en", "xx-en"):
        with pytest.raises(UsageError):
            parse_direction(wrong)


def test_unknown_tasks_are_explained() -> None:
    with pytest.raises(UsageError, match=r"Unknown task 'nil'\. Did you mean 'nli'"):
        load_task("nil")


def test_checks_find_what_is_wrong() -> None:
    examples = dict(TASK.examples)
    german = list(examples["de"])
    german[0] = replace(german[0], text=" ")
    german[1] = replace(german[1], text=german[2].text)
    german[3] = replace(german[3], text="Это по-русски.")
    german[4] = replace(german[4], label="good")
    examples["de"] = tuple(german[:-1])
    findings = check_task(replace(TASK, examples=examples)).findings
    for part in ("empty text", "the same text", "not in Latin script", "label 'good'", "is missing"):
        assert any(part in finding and finding.startswith("de: ") for finding in findings), part


def test_script_share() -> None:
    assert script_share("Привет, мир!", "CYRILLIC") == 1
    assert script_share("これは本です", "CJK") == 1
    assert script_share("abв", "LATIN") == pytest.approx(2 / 3)


# The authors' layout


def write_authors_files(folder: Path, rows: int = 8) -> None:
    words = {"en": ("positive", "negative"), "de": ("positiv", "negativ")}
    for code, (good, bad) in words.items():
        table = [{"input": f"{code} review {i}", "answer": good if i % 2 else bad} for i in range(rows)]
        path = folder / "ap_emotion" / f"emotion_{code}500_test.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(table, indent=1), encoding="utf-8")
    nli = folder / "snli"
    nli.mkdir()
    labels = ("entailment", "neutral", "contradiction")
    table = [{"premise": f"P{i}", "hypothesis": f"H{i}", "answer": labels[i % 3]} for i in range(12)]
    (nli / "snli_en600_test.json").write_text(json.dumps(table), encoding="utf-8")
    ending = "\nTranslate the input from German to English:\n"
    questions = [{"input": f'Frage {i}\nAntwort: "{ending}', "answer": f'Question {i}\nAnswer: "'} for i in range(5)]
    (nli / "snli_de10k_train_question.json").write_text(json.dumps(questions), encoding="utf-8")


def test_authors_sentiment(tmp_path: Path) -> None:
    write_authors_files(tmp_path)
    task = load_task("sentiment", tmp_path)
    assert task.languages == ("en", "de")
    assert task.wordings["de"].label_words == {"positive": "positiv", "negative": "negativ"}
    assert [e.id for e in task.examples["de"]] == [
        "00004",
        "00005",
        "00006",
        "00007",
    ]  # the first of each label are shown
    assert [e.label for e in task.wordings["de"].demonstrations] == ["positive", "negative"] * 2
    assert [e.label for e in task.examples["de"]] == [e.label for e in task.examples["en"]]


def test_authors_nli_and_questions(tmp_path: Path) -> None:
    write_authors_files(tmp_path)
    task = load_task("nli", tmp_path)
    assert task.examples["en"][0].text == "Premise: P6\nHypothesis: H6"
    pairs = question_pairs(task, [("de", "en")], 5, seed=0)
    assert {pair.question for pair in pairs} == {f'Frage {i}\nAntwort: "' for i in range(5)}
    with pytest.raises(DataError, match="no training questions for fr-en"):
        question_pairs(task, [("fr", "en")], 1, seed=0)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text[: len(text) // 2], r"emotion_de500_test.json: row \d+: not valid JSON at line \d+"),
        (lambda text: text.replace('"input": "de review 3"', '"inptu": "x"'), "row 4: field 'input' is missing"),
        (lambda text: text.replace("de review 3", " "), "row 4: field 'input' is empty"),
        (
            lambda text: text.replace('"positiv"', '"negativ"', 1),
            "row 4: field 'answer' is 'positiv', but the English row says",
        ),
        (lambda text: "[]", "holds no rows"),
        (lambda text: "[1]", "row 1: expected an object"),
        (lambda text: text.replace("de review 3", "de review \udce4"), "byte .* is not UTF-8"),
        (lambda text: json.dumps(json.loads(text)[:-1]), "has 7 rows, but the English file has 8"),
    ],
)
def test_authors_files_faults_are_named(tmp_path: Path, damage: object, message: str) -> None:
    write_authors_files(tmp_path)
    path = tmp_path / "ap_emotion" / "emotion_de500_test.json"
    damaged = damage(path.read_text(encoding="utf-8"))  # type: ignore[operator]
    path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message):
        load_task("sentiment", tmp_path)


def test_authors_english_is_needed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"emotion_en500_test\.json does not exist"):
        load_task("sentiment", tmp_path)
    with pytest.raises(UsageError, match="Unknown task 'paws'"):
        load_task("paws", tmp_path)


RELEASE = Path(__file__).parents[2] / "shared" / "paper" / "data"


@pytest.mark.skipif(not RELEASE.is_dir(), reason="the authors' release is not on this machine")
def test_authors_release_loads() -> None:
    sentiment, nli = load_task("sentiment", RELEASE), load_task("nli", RELEASE)
    assert len(sentiment.languages) == len(nli.languages) == 6
    assert {len(examples) for examples in sentiment.examples.values()} == {496}
    assert {len(examples) for examples in nli.examples.values()} == {594}
    assert len(nli.pairs["zh", "en"]) == 1500
