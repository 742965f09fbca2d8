"""Languages of tokens, on planted corpora."""

import numpy as np
import pytest
from babelscope.activations.token_languages import token_languages
from babelscope.errors import DataError
from babelscope.probes.token_shares import share_table, token_shares
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

WORDS = [
    "hund",
    "dog",
    "Dog",
    "taxi",
    "кот",
    "собака",
    "нет",
    "यह",
    "वह",
    "7",
    "!",
    "猫",
    "ねこ",
    "zq",
    "wahrscheinlich",
]
SCRIPTS = {"en": "LATIN", "de": "LATIN", "ru": "CYRILLIC", "hi": "DEVANAGARI", "zh": "CJK", "ja": "CJK"}


def languages_of_words(texts: dict[str, list[str]]) -> dict[str, str]:
    backend = Tokenizer(models.WordLevel({word: i for i, word in enumerate(["<unk>", *WORDS])}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    tokens = np.arange(1, len(WORDS) + 1)
    found = token_languages(tokenizer, tokens, texts, SCRIPTS)
    return {word: [*texts, "unknown"][i] for word, i in zip(WORDS, found, strict=True)}


def test_counts_decide_then_scripts_then_nothing() -> None:
    texts = {
        "en": ["dog taxi 7 !"] * 4,
        "de": ["hund taxi 7 !"] * 4,
        "ru": ["кот taxi 7 !"] * 4,
        "hi": ["यह taxi 7 !"] * 4,
        "zh": ["猫 taxi 7 !"] * 4,
        "ja": ["猫 taxi 7 !"] * 4,
    }
    found = languages_of_words(texts)
    assert {word: found[word] for word in ("dog", "Dog", "hund", "кот", "यह")} == {
        "dog": "en", "Dog": "en", "hund": "de", "кот": "ru", "यह": "hi",
    }  # fmt: skip
    assert found["taxi"] == found["7"] == found["!"] == "unknown"  # all languages have them
    assert found["猫"] == "unknown"  # counted, and shared
    assert (found["वह"], found["ねこ"], found["нет"]) == ("hi", "ja", "ru")  # not counted; one language has the script
    assert found["zq"] == "unknown"  # not counted, in a script of two languages, too short to identify
    assert found["wahrscheinlich"] == "de"  # told by the identifier


def test_counts_are_compared_by_rate() -> None:
    """A text that is ten times as long must not claim what both languages say equally often."""
    found = languages_of_words(
        {"en": ["dog taxi hund"] * 40, "de": ["hund taxi taxi"] * 4, "ru": [], "hi": [], "zh": [], "ja": []}
    )
    assert found["hund"] == "unknown"
    assert found["dog"] == "en"


def test_shares_sum_to_one_with_unknown_last() -> None:
    language_of = np.array([[[0, 0, -1, 2], [1, -1, -1, -1]]])
    shares = token_shares(language_of, 3)
    np.testing.assert_allclose(shares, [[[0.5, 0, 0.25, 0.25], [0, 0.25, 0, 0.75]]])
    by_id = np.stack([shares, shares[:, ::-1]], axis=1)[:, [0, 0, 0, 1]]  # one of four ids has the layers exchanged
    table = share_table(by_id, ["sw"], [0, 4], ["en", "zh", "sw"], "base")
    assert list(table) == ["language", "condition", "layer", "token_language", "share", "ci_low", "ci_high"]
    np.testing.assert_allclose(table.groupby(["language", "condition", "layer"])["share"].sum(), 1)
    numbers = table.set_index(["layer", "token_language"])[["share", "ci_low", "ci_high"]]
    assert numbers.loc[(4, "unknown")].tolist() == [0.625, 0.375, 0.75]  # drawn three times of four; never
    assert numbers.loc[(4, "sw")].tolist() == [0.0625, 0, 0.1875]
    silent = share_table(by_id * [1, 0, 1, 1], ["sw"], [0, 4], ["en", "zh", "sw"], "base")
    assert (silent.loc[silent["token_language"] == "zh", ["share", "ci_low", "ci_high"]] == 0).all(axis=None)
    with pytest.raises(DataError, match="languages -1 to 2 of 2"):
        token_shares(language_of, 2)
