"""Running text in the languages of the caches: a folder of the user's, or the questions that the caches hold."""

from pathlib import Path

from ..errors import DataError, UsageError
from .conditions import Conditions

LEAST = 3  # texts per language


def corpus(conditions: Conditions, most: int) -> dict[str, list[str]]:
    """Texts by language, none twice: the lines of CORPUS/CODE.txt, or else the questions without demonstrations.

    Of each language the first `most`, or as many as the settings' limit.

    The questions stay parallel: a question that repeats in any language is left out of all.

    Raises:
        UsageError: the folder lacks the file of a language.
        DataError: a language has fewer than 3 texts.
    """
    s = conditions.settings
    every = _questions(conditions) if s.corpus is None else _lines(s.corpus, conditions.languages)
    texts = {code: found[: s.limit or most] for code, found in every.items()}
    for code, found in texts.items():
        if len(found) < LEAST:
            where = s.corpus / f"{code}.txt" if s.corpus else conditions.base.path
            raise DataError(
                f"{where} has {len(found)} different texts in {code!r}, expected at least {LEAST}: some are counted "
                "over, others are kept to test on. Give more, or a higher --limit."
            )
    return texts


def _questions(conditions: Conditions) -> dict[str, list[str]]:
    prompts = conditions.base.prompts()
    kept: list[list[str]] = []
    seen: set[tuple[str, str]] = set()
    for rows in conditions.rows.T:
        texts = [prompts[row].example.text for row in rows]
        here = set(zip(conditions.languages, texts, strict=True))
        if seen.isdisjoint(here):
            kept.append(texts)
        seen |= here
    return {code: [texts[i] for texts in kept] for i, code in enumerate(conditions.languages)}


def _lines(folder: Path, languages: list[str]) -> dict[str, list[str]]:
    texts = {}
    for code in languages:
        path = folder / f"{code}.txt"
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{path} cannot be read ({error}). A corpus is a folder with a UTF-8 file CODE.txt, one text a line, "
                f"for each language of the caches: {' '.join(languages)}."
            ) from error
        texts[code] = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    return texts
