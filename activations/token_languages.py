"""Which language a token of the vocabulary belongs to, if any: counted in parallel text, or told by its script."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from ..tasks import KINDS, languages, load_task
from .tokens import vocabulary_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DOMINANCE = 0.8  # share of a token's occurrences that one language must have
LEAST = 3  # occurrences below which counts say nothing
IDENTIFIED = 4  # letters below which an identifier of sentences is not asked about a word
SURE = 0.5  # its probability, among all languages it knows; of words that counts decide, it is then right in 98.9%


def built_in_texts() -> dict[str, list[str]]:
    """What the built-in tasks say in each language, answers included; all languages say the same."""
    found: dict[str, list[str]] = {code: [] for code in languages()}
    for task in map(load_task, KINDS):
        for code, texts in found.items():
            examples = [*task.examples[code], *task.questions[code]]
            texts += {text: None for example in examples for text in example.fields.values()}  # items share sentences
            texts += [*task.wordings[code].label_words.values()] * LEAST  # what is answered is no accident
    return found


def token_languages(
    tokenizer: "PreTrainedTokenizerBase",
    tokens: Int[np.ndarray, " token"],
    texts: Mapping[str, Sequence[str]],
    scripts: Mapping[str, str],
) -> Int[np.ndarray, " token"]:
    """The language of each of `tokens`: an index into `texts`, or -1 for unknown.

    What is counted is a token's text, whatever its case and leading space, as a token of the texts or as a whole word.
    One that occurs at least `LEAST` times belongs to the language that has `DOMINANCE` of its occurrences, each
    language's counted per token of its own; to none where no language has. A rarer one whose letters all are of a
    script that one language alone uses belongs to that language, and so does one that the identifier is sure of. Others
    are unknown: digits, punctuation, fragments and names that many languages share, rare words that could be of
    several languages, languages that are not among them.

    Args:
        texts: language -> its sentences; those of all languages should say the same, or topics pass for languages.
        scripts: language -> the first word of the Unicode names of its letters, as in languages.toml.
    """
    vocabulary = vocabulary_texts(tokenizer)
    text_of = np.zeros(len(tokenizer), dtype=int)
    for i, same in enumerate(vocabulary.values()):
        text_of[same] = i
    counts = _counts(tokenizer, texts, list(vocabulary), text_of)
    rates = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    share = rates / np.maximum(rates.sum(axis=0), np.finfo(float).tiny)
    seen = counts.sum(axis=0) >= LEAST
    dominant = np.where(share.max(axis=0) >= DOMINANCE, share.argmax(axis=0), -1)
    of_script, found, written = _languages_of_scripts(list(texts), scripts), np.full(len(tokens), -1), list(vocabulary)
    for n, i in enumerate(text_of[tokens]):
        letters = [char for char in written[i] if char.isalpha()]
        if letters:
            found[n] = dominant[i] if seen[i] else _of_rare(written[i], letters, list(texts), of_script)
    return found


def _counts(
    tokenizer: "PreTrainedTokenizerBase",
    texts: Mapping[str, Sequence[str]],
    written: Sequence[str],
    text_of: Int[np.ndarray, " vocabulary"],
) -> Float[np.ndarray, "language text"]:
    """How often each text of the vocabulary is a token, or a word of several tokens, in each language."""
    number = {text: i for i, text in enumerate(written)}
    counts = np.zeros((len(texts), len(written)))
    for row, sentences in zip(counts, texts.values(), strict=True):
        if sentences:
            ids = chain.from_iterable(tokenizer(list(sentences), add_special_tokens=False)["input_ids"])
            row += np.bincount(text_of[np.fromiter(ids, int)], minlength=len(row))
        words = Counter(re.findall(r"\w+", "\n".join(sentences).casefold()))
        for word in words.keys() & number.keys():
            row[number[word]] = max(row[number[word]], words[word])
    return counts


def _languages_of_scripts(codes: Sequence[str], scripts: Mapping[str, str]) -> dict[str, int]:
    """Script -> index of the one language that uses it; kana are Japanese, whoever else writes Han characters."""
    used = [scripts[code] for code in codes]
    found = {script: i for i, script in enumerate(used) if used.count(script) == 1}
    kana = {script: list(codes).index("ja") for script in ("HIRAGANA", "KATAKANA") if "ja" in codes}
    return found | kana


def _of_rare(text: str, letters: Sequence[str], codes: Sequence[str], of_script: Mapping[str, int]) -> int:
    scripts = {unicodedata.name(char, " ").split(" ")[0] for char in letters}
    of_letters = {of_script.get(script, -1) for script in scripts}
    if of_letters != {-1}:
        return of_letters.pop() if len(of_letters) == 1 else -1
    if len(letters) < IDENTIFIED or len(letters) < len(text) or not scripts <= {"LATIN", "CYRILLIC"}:
        return -1
    code, probability = _identifier().classify(text)
    return list(codes).index(code) if probability >= SURE and code in codes else -1


@lru_cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
