"""Words to translate one by one: `data/words/LANGUAGE.toml`, and the prompts that ask for them.

Word translation is how concept and language are told apart inside a model: patch states of a prompt about one word and
one language into a prompt about another (Dumas et al. 2025, arXiv 2411.08745; prompts after Wendler et al. 2024,
arXiv 2402.10588). The words are the project's own, not those papers'.
"""

import random
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import UsageError, did_you_mean
from .languages import language, languages
from .rows import Faults

BUILT_IN = Path(str(files(__package__) / "data" / "words"))
Entries = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class WordSet:
    """Concepts, each with the words of every language that are a right translation."""

    accepted: Mapping[str, Entries]  # concept -> language -> accepted words, the main one first

    @property
    def concepts(self) -> tuple[str, ...]:
        return tuple(self.accepted)

    def word(self, concept: str, code: str) -> str:
        """The main word, the one that prompts use.

        Raises:
            UsageError: an unknown concept or language.
        """
        if concept not in self.accepted:
            hint = did_you_mean(concept, self.concepts)
            raise UsageError(f"Unknown concept {concept!r}.{hint} Known: {' '.join(self.concepts)}.")
        return self.accepted[concept][language(code).code][0]


def load_words(folder: Path = BUILT_IN) -> WordSet:
    """Read a folder with one file per language of the table.

    Raises:
        DataError: a language or a concept is missing, or a word is unfit; the first faults are named.
    """
    faults = Faults()
    tables = {code: _read(folder / f"{code}.toml", faults) for code in languages()}
    concepts = list(dict.fromkeys(concept for table in tables.values() for concept in table))
    for code, table in tables.items():
        if table:  # else it could not be read, which is one fault and not one for each concept
            _check(folder / f"{code}.toml", table, concepts, faults)
    faults.raise_any("Every language needs the same concepts, each a list of words with the main one first.")
    return WordSet({concept: {code: tuple(tables[code][concept]) for code in tables} for concept in concepts})


def word_prompt(
    words: WordSet,
    source: str,
    target: str,
    concept: str,
    shots: int,
    seed: int = 0,
    avoid: Collection[str] = (),
    quote: str = '"',
) -> str:
    """Ask for the `target` word of a concept whose `source` word is given; ends in the answer's opening quote.

        Français: "livre" - Deutsch: "Buch"
        Français: "pont" - Deutsch: "

    `shots` lines come before the question. Seed and concept alone decide which, so that prompts in other languages show
    the same concepts. `avoid` holds concepts that no line may show, such as the one that is to be patched in. With an
    empty `quote` the prompt ends in the colon and the answer begins with a space: vocabularies that hold whole words
    only with a space before them, as Gemma's does for most Latin ones, then have one token for the answer.

    Raises:
        UsageError: an unknown concept or language, or more shots than there are other concepts.
    """
    names = language(source).endonym, language(target).endonym
    for one in avoid:
        words.word(one, target)  # an unknown name would be avoided in vain
    others = [other for other in words.concepts if other not in (concept, *avoid)]
    if not 0 <= shots <= len(others):
        raise UsageError(f"{shots} shots were asked for; {len(others)} other concepts can be shown.")
    shown = random.Random(f"{seed} {concept}").sample(others, shots)
    asked = [f"{names[0]}: {quote}{words.word(one, source)}{quote} - {names[1]}: {quote}" for one in (*shown, concept)]
    answers = [f"{words.word(one, target)}{quote}\n" for one in shown]
    return "".join(line + answer for line, answer in zip(asked, [*answers, ""], strict=True)).rstrip(" ")


def _read(path: Path, faults: Faults) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("words")
    except OSError as error:
        faults.add(path, 0, "", f"cannot be read: {error.strerror}")
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        faults.add(path, 0, "", f"is not valid TOML in UTF-8: {error}")
        return {}
    if not isinstance(table, dict) or not table:
        faults.add(path, 0, "words", "is no table of concepts")
        return {}
    return table


def _check(path: Path, table: Mapping[str, Any], concepts: Iterable[str], faults: Faults) -> None:
    owners: dict[str, str] = {}  # main word -> the concept that has it
    for concept in concepts:
        if concept not in table:
            faults.add(path, 0, concept, "is missing, but other languages have it")
        elif reason := _unfit(table[concept]):
            faults.add(path, 0, concept, reason)
        elif (owner := owners.setdefault(table[concept][0], concept)) != concept:
            faults.add(path, 0, concept, f"has the main word {table[concept][0]!r}, and so has {owner!r}")
        else:
            faults.good += 1


def _unfit(entry: Any) -> str:
    """Why an entry cannot be used; empty if it can."""
    if not isinstance(entry, list) or not entry or not all(isinstance(word, str) for word in entry):
        return f"is no list of words: {entry!r:.40}"
    for word in entry:
        if not word.strip():
            return "has an empty word"
        if word != word.strip() or '"' in word or "\n" in word:
            return f"has spaces around a word, or a quote or a line break in it: {word!r}"
        if word != unicodedata.normalize("NFC", word):
            return f"has {word!r}, which is not in Unicode's normal form NFC"
        if entry.count(word) > 1:
            return f"has {word!r} twice"
    return ""
