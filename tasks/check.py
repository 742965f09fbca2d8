"""Is a task's text fit to use? Each finding is one line that names language, id and what is wrong."""

import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ..display import Displayed
from ..progress import Progress, Steps, silent
from .languages import language
from .records import Example, Task

SCRIPT_SHARE = 0.7  # of a text's letters must belong to the language's script; names and loans may not


@dataclass(frozen=True, repr=False)
class Report(Displayed):
    """What was found in a task's text, a line each, and what there is of it by language."""

    findings: tuple[str, ...]
    identified: dict[str, float]  # language -> share of its texts that the identifier assigns to it
    counts: dict[str, tuple[int, int]]  # language -> (test examples, training questions)


def check_task(task: Task, on_progress: Progress = silent) -> Report:
    """Every language has every id, no text is empty or doubled, scripts are right, an identifier agrees."""
    step, identified = Steps(on_progress, len(task.languages)), {}
    for code in task.languages:
        identified[code] = _identified_share(task, code)
        step()
    findings = [
        *_missing_ids(task),
        *_bad_texts(task),
        *_label_words(task),
        *(
            f"{code}: the language identifier recognises only {share:.0%} of the texts"
            for code, share in identified.items()
            if share < 0.9
        ),
    ]
    counts = {code: (len(task.examples[code]), len(task.questions.get(code, ()))) for code in task.languages}
    return Report(tuple(findings), identified, counts)


def _missing_ids(task: Task) -> Iterator[str]:
    for part in (task.examples, task.questions):
        every = {example.id for examples in part.values() for example in examples}
        for code, examples in part.items():
            ids = Counter(example.id for example in examples)
            yield from (f"{code}: id {i} is missing" for i in sorted(every - ids.keys()))
            yield from (f"{code}: id {i} appears {n} times" for i, n in ids.items() if n > 1)


def _bad_texts(task: Task) -> Iterator[str]:
    for code in task.languages:
        examples = [*task.examples[code], *task.questions.get(code, ())]
        texts = Counter(example.text for example in examples)
        for example in examples:
            if not example.text.strip():
                yield f"{code}: {example.id}: empty text"
            elif script_share(example.text, language(code).script) < SCRIPT_SHARE:
                yield f"{code}: {example.id}: not in {language(code).script.title()} script: {example.text[:40]!r}"
            if texts[example.text] > 1:
                yield f"{code}: {example.id}: the same text stands under another id"
            if example.label not in task.labels:
                yield f"{code}: {example.id}: label {example.label!r} is none of {', '.join(task.labels)}"


def _label_words(task: Task) -> Iterator[str]:
    for code, wording in task.wordings.items():
        words = wording.label_words
        if set(words) != set(task.labels):
            yield f"{code}: label words for {sorted(words)}, but the labels are {sorted(task.labels)}"
        if len(set(words.values())) < len(words):
            yield f"{code}: two labels share the word {Counter(words.values()).most_common(1)[0][0]!r}"


def script_share(text: str, script: str) -> float:
    """Share of the letters of `text` whose Unicode name begins with `script` (kana and 々 count as CJK)."""
    names = [unicodedata.name(char, "") for char in text if char.isalpha()]
    accepted = (script, "HIRAGANA", "KATAKANA", "IDEOGRAPHIC") if script == "CJK" else (script,)
    return sum(name.startswith(accepted) for name in names) / max(len(names), 1)


def _identified_share(task: Task, code: str) -> float:
    import py3langid

    row = language(code)
    accepted = {code, *row.confused_with}
    texts: list[Example] = [*task.examples[code], *task.questions.get(code, ())]
    return sum(py3langid.classify(example.text)[0] in accepted for example in texts) / max(len(texts), 1)
