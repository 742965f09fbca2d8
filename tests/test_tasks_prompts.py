"""Every way of asking: words, instruction, demonstrations, pairs in context; and the training sets of the controls."""

import pytest
from babelscope.errors import DataError, UsageError
from babelscope.tasks import (
    KINDS,
    Asking,
    answer_words,
    check_prefixes,
    content_free_prompts,
    directions_of,
    few_shot_prompts,
    load_task,
    question_pairs,
)

SENTIMENT, NLI = load_task("sentiment"), load_task("nli")


def test_the_papers_shots_fit_the_written_demonstrations() -> None:
    for name, kind in KINDS.items():
        for code in ("en", "sw"):
            (prompt,) = few_shot_prompts(load_task(name), code, Asking(kind.shots), 1)
            assert prompt.full.count(prompt.slot) == kind.shots + 1
            shown = [prompt.prefix.count(f'{prompt.slot}{label}"') for label in kind.labels]
            assert set(shown) == {kind.shots // len(kind.labels)}


def test_nli_is_asked_field_by_field() -> None:
    (prompt,) = few_shot_prompts(NLI, "de", Asking(0), 1)
    premise, hypothesis = prompt.full.split("\n")[:2]
    assert premise == f"Prämisse: {prompt.example.fields['premise']}"
    assert hypothesis == f"Hypothese: {prompt.example.fields['hypothesis']}"
    assert prompt.full.endswith('\nAntwort: "')


def test_output_words() -> None:
    words = {"english": ("negative", "positive"), "own": ("negativ", "positiv"), ("ox", "horse"): ("ox", "horse")}
    for setting, (bad, good) in words.items():
        (prompt,) = few_shot_prompts(SENTIMENT, "de", Asking(2, words=setting), 1)
        assert prompt.prefix.count(f'"{bad}"') == prompt.prefix.count(f'"{good}"') == 1
        assert tuple(answer_words(SENTIMENT, "de", setting).values()) == (bad, good)


@pytest.mark.parametrize("words", ["englisch", ("ox",), ("ox", "ox"), ("ox", " ")])
def test_words_that_are_no_words_are_refused(words: str | tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="words"):
        answer_words(SENTIMENT, "de", words)


def test_words_that_begin_one_another_are_refused_under_the_papers_rule() -> None:
    check_prefixes({"a": "ox", "b": "horse"}, "here")
    with pytest.raises(UsageError, match="'pos' begins 'Positive'"):
        check_prefixes({"a": "Positive", "b": "pos"}, "here")


def test_instruction_in_another_language_changes_the_words_around_only() -> None:
    (own,), (english,) = (few_shot_prompts(NLI, "zh", Asking(3, instruction=i), 1) for i in ("own", "en"))
    assert english.example.fields == own.example.fields
    assert english.full.startswith("Premise: ")
    assert english.full.endswith('\nAnswer: "')
    assert own.full.startswith("前提: ")
    for field in own.example.fields.values():
        assert field in english.full


def test_demonstrations_in_another_language() -> None:
    (prompt,) = few_shot_prompts(SENTIMENT, "zh", Asking(2, demonstrations_in="en"), 1)
    assert SENTIMENT.wordings["en"].demonstrations[0].text in prompt.prefix
    assert prompt.example.language == "zh"


def test_seeds_draw_demonstrations_balanced_and_the_same_everywhere() -> None:
    for source in ("written", "training"):
        asking = Asking(4, demonstrations=source, demonstration_seed=3)
        english, chinese = (few_shot_prompts(SENTIMENT, code, asking, 1)[0].prefix for code in ("en", "zh"))
        assert english.count('"positive"') == english.count('"negative"') == 2
        labels = [[word for word in prefix.split('"') if word in SENTIMENT.labels] for prefix in (english, chinese)]
        assert labels[0] == labels[1]
        other = few_shot_prompts(SENTIMENT, "en", Asking(4, demonstrations=source, demonstration_seed=4), 1)[0].prefix
        assert other != english


def test_mistakes_in_asking_are_named() -> None:
    for asking, message in (
        (Asking(demonstrations="spoken"), "demonstrations 'spoken' is none of written, training"),
        (Asking(instruction="englsh"), "Did you mean 'en'"),
        (Asking(demonstrations_in="xx"), "Unknown language 'xx'"),
    ):
        with pytest.raises(UsageError, match=message):
            few_shot_prompts(SENTIMENT, "zh", asking, 1)


def test_pairs_in_context_stand_before_the_demonstrations() -> None:
    pairs = question_pairs(SENTIMENT, [("zh", "en"), ("es", "en")], 2, seed=0)
    asking = Asking(2, context=tuple(pairs))
    (prompt,) = few_shot_prompts(SENTIMENT, "fr", asking, 1)
    assert prompt.prefix.count("Translate the input from Chinese to English:") == 2
    assert prompt.prefix.count("Translate the input from Spanish to English:") == 2
    plain = few_shot_prompts(SENTIMENT, "fr", Asking(2), 1)[0]
    assert prompt.full.endswith(plain.full)


def test_content_free_prompts_differ_in_the_question_alone() -> None:
    asking = Asking(3)
    real = few_shot_prompts(NLI, "de", asking, 1)[0]
    for blank, filler in zip(content_free_prompts(NLI, "de", asking), ("N/A", "[MASK]"), strict=True):
        assert blank.full == f'{real.prefix}Prämisse: {filler}\nHypothese: {filler}\nAntwort: "'


def test_the_copy_control_repeats_the_questions_that_translation_translates() -> None:
    translated, copied = (
        question_pairs(SENTIMENT, [("zh", "en")], 20, seed=5, objective=objective)
        for objective in ("translate", "copy")
    )
    assert [pair.question for pair in copied] == [pair.question for pair in translated]
    assert all(pair.output == pair.question and pair.target == "zh" for pair in copied)
    assert {pair.instruction for pair in copied} == {"\nRepeat the input:\n"}


def test_the_answer_control_gives_answers() -> None:
    truth = {question.id: question.label for question in NLI.questions["en"]}
    for pair in question_pairs(NLI, directions_of(["en"], "answer"), 20, seed=0, objective="answer"):
        assert pair.output == f'{truth[pair.id]}"'
        assert pair.question.endswith('Answer: "')
        assert pair.instruction == ""


def test_the_shuffled_control_gives_every_question_the_translation_of_another() -> None:
    translated, shuffled = (
        question_pairs(SENTIMENT, [("zh", "en")], None, seed=0, objective=objective)
        for objective in ("translate", "shuffle")
    )
    right = {pair.question: pair.output for pair in translated}
    assert [pair.question for pair in shuffled] == [pair.question for pair in translated]
    assert sorted(pair.output for pair in shuffled) == sorted(right.values())
    assert [pair for pair in shuffled if pair.output == right[pair.question]] == []


def test_all_pairs_and_wrong_objectives() -> None:
    assert len(question_pairs(NLI, [("zh", "it")], None, seed=0)) == 600
    with pytest.raises(UsageError, match="objective 'repeat' is unknown"):
        question_pairs(NLI, [("zh", "en")], 5, seed=0, objective="repeat")
    with pytest.raises(UsageError, match="the target en is among the sources"):
        directions_of(["zh-en", "en-it"])
    with pytest.raises(DataError, match="no training questions"):
        question_pairs(load_task("nli"), [("zh", "xx")], 5, seed=0)
