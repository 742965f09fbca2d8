"""The word set: complete, in the right letters, and different enough across languages to tell them apart."""

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
from babelscope.errors import DataError, UsageError
from babelscope.tasks import WordSet, language, languages, load_words, word_prompt
from babelscope.tasks.check import script_share
from babelscope.tasks.words import BUILT_IN

LATIN = "abcdefghijklmnopqrstuvwxyz"
ALPHABETS = {  # lower case; what each language's own orthography spells native words with
    "en": LATIN,
    "de": LATIN + "äöüß",
    "fr": LATIN + "àâæçèéêëîïôœùûüÿ",
    "es": LATIN + "áéíñóúü",
    "it": LATIN + "àèéìòù",
    "nl": LATIN + "éëïóöü",
    "sv": LATIN + "åäö",
    "no": LATIN + "æøå",
    "is": "aábdðeéfghiíjklmnoóprstuúvxyýþæö",
    "sl": "abcčdefghijklmnoprsštuvzž",
    "pl": "aąbcćdeęfghijklłmnńoóprsśtuwyzźż",
    "ms": LATIN + "-",
    "sw": "abcdefghijklmnoprstuvwyz'",
    "ru": "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "bg": "абвгдежзийклмнопрстуфхцчшщъьюя",
}


@pytest.fixture(scope="module")
def words() -> WordSet:
    return load_words()


def test_every_concept_is_named_in_every_language(words: WordSet) -> None:
    assert len(words.concepts) >= 64
    assert words.concepts == tuple(words.word(concept, "en") for concept in words.concepts)
    for entries in words.accepted.values():
        assert list(entries) == list(languages())
    assert words.accepted["donkey"]["zh"] == ("驴", "驴子", "毛驴")


def test_words_are_in_the_letters_of_their_language(words: WordSet) -> None:
    for entries in words.accepted.values():
        for code, accepted in entries.items():
            for word in accepted:
                assert script_share(word, language(code).script) == 1, (code, word)
                if code in ALPHABETS:
                    assert set(word.lower()) <= {*ALPHABETS[code], " "}, (code, word)
    assert not [entries[code][0] for entries in words.accepted.values() for code in entries if " " in entries[code][0]]


def test_nouns_are_capitalised_in_german_only(words: WordSet) -> None:
    for entries in words.accepted.values():
        for code, accepted in entries.items():
            assert all(word == (word.capitalize() if code == "de" else word.lower()) for word in accepted), accepted


def test_a_word_stands_for_one_concept(words: WordSet) -> None:
    """No word is accepted for two concepts, and no main word begins another one: first tokens can tell them apart."""
    for code in languages():
        every = [word for entries in words.accepted.values() for word in entries[code]]
        assert len(every) == len(set(every)), code
        main = [words.word(concept, code) for concept in words.concepts]
        assert not [pair for pair in combinations(sorted(main), 2) if pair[1].startswith(pair[0])], code


def test_few_main_words_are_spelt_alike_in_two_languages(words: WordSet) -> None:
    alike = [
        (concept, one, other, words.word(concept, one))
        for concept in words.concepts
        for one, other in combinations(languages(), 2)
        if words.word(concept, one).casefold() == words.word(concept, other).casefold()
    ]
    pairs = len(words.concepts) * len(languages()) * (len(languages()) - 1) // 2
    print(f"{len(alike)} of {pairs} pairs ({len(alike) / pairs:.2%}):", *alike, sep="\n")
    assert len(alike) / pairs < 0.02


def test_prompt_reads_as_in_the_papers(words: WordSet) -> None:
    assert word_prompt(words, "fr", "de", "book", shots=0) == 'Français: "livre" - Deutsch: "'
    prompt = word_prompt(words, "fr", "zh", "book", shots=5)
    *shown, asked = prompt.split("\n")
    assert asked == 'Français: "livre" - 中文: "'
    lines = {
        f'Français: "{words.word(c, "fr")}" - 中文: "{words.word(c, "zh")}"' for c in words.concepts if c != "book"
    }
    assert len(set(shown)) == 5
    assert set(shown) <= lines


def test_demonstrations_follow_seed_and_concept_not_language(words: WordSet) -> None:
    def shown(code: str, **settings: object) -> list[str]:
        english = {words.word(concept, code): concept for concept in words.concepts}
        prompt = word_prompt(words, code, "en", "book", shots=4, **settings)  # type: ignore[arg-type]
        return [english[line.split('"')[1]] for line in prompt.split("\n")[:-1]]

    drawn = shown("th")
    assert drawn == shown("sw")
    assert drawn != shown("th", seed=1)
    assert not {*drawn[:2]} & {*shown("th", avoid=drawn[:2])}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"concept": "bok"}, "Unknown concept 'bok'. Did you mean 'book'?"),
        ({"avoid": ["bok"]}, "Unknown concept 'bok'. Did you mean 'book'?"),
        ({"target": "xx"}, "Unknown language 'xx'"),
        ({"shots": 65}, "65 shots were asked for; 64 other concepts can be shown"),
        ({"shots": -1}, "-1 shots were asked for"),
    ],
)
def test_what_cannot_be_asked_is_refused(words: WordSet, settings: dict[str, object], message: str) -> None:
    asked = {"source": "fr", "target": "de", "concept": "book", "shots": 2} | settings
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        word_prompt(words, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('book = ["Buch"]\n', ""), "'book' is missing, but other languages have it"),
        (lambda text: text.replace('["Buch"]', '["Buch", " "]'), "'book' has an empty word"),
        (lambda text: text.replace('["Buch"]', '"Buch"'), "'book' is no list of words: 'Buch'"),
        (lambda text: text.replace('["Buch"]', "[]"), r"'book' is no list of words: \[\]"),
        (lambda text: text.replace('["Buch"]', '["Buch", "Buch"]'), "'book' has 'Buch' twice"),
        (lambda text: text.replace('["Buch"]', '["Hut"]'), "'hat' has the main word 'Hut', and so has 'book'"),
        (lambda text: text.replace('["Buch"]', '["Buch "]'), "'book' has spaces around a word"),
        (lambda text: text.replace("Tür", "Tu\u0308r"), "'door' has .* not in Unicode's normal form NFC"),
        (lambda text: text.replace("[words]", "[word]"), "'words' is no table of concepts"),
        (lambda text: text[:-5], "is not valid TOML"),
    ],
)
def test_faults_are_named(tmp_path: Path, damage: Callable[[str], str], message: str) -> None:
    shutil.copytree(BUILT_IN, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "de.toml"
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    with pytest.raises(DataError, match=rf"^1 fault\(s\)(.|\n)*de\.toml.*{message}"):
        load_words(tmp_path)


def test_a_language_without_a_file_is_named(tmp_path: Path) -> None:
    shutil.copytree(BUILT_IN, tmp_path, dirs_exist_ok=True)
    (tmp_path / "sw.toml").unlink()
    with pytest.raises(DataError, match=r"sw\.toml: cannot be read: No such file"):
        load_words(tmp_path)
