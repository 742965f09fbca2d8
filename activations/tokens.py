"""From prompts to token rows: what the model reads, where the question's tokens are, which tokens answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import DataError, UsageError
from ..tasks import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class EncodedPrompt:
    """One prompt as tokens. The question's own tokens are `ids[start:end]`; the answer position is the last one."""

    ids: tuple[int, ...]
    start: int
    end: int


def encode_prompts(
    tokenizer: "PreTrainedTokenizerBase", prompts: Sequence[Prompt], context_length: int | None
) -> list[EncodedPrompt]:
    """Tokenise whole prompts, one BOS each where the tokenizer has one.

    Raises:
        DataError: empty text, or a prompt longer than the context; language and id are named.
    """
    encoding = tokenizer([prompt.full for prompt in prompts], return_offsets_mapping=True)
    rows = []
    for prompt, ids, offsets in zip(prompts, encoding["input_ids"], encoding["offset_mapping"], strict=True):
        example = prompt.example
        if not example.text.strip():
            raise DataError(f"Example {example.id!r} in {example.language!r} has empty text.")
        if context_length is not None and len(ids) > context_length:
            raise DataError(
                f"Prompt {example.id!r} in {example.language!r} has {len(ids)} tokens, more than the model's context "
                f"of {context_length}. Use fewer shots or shorter texts."
            )
        begin, stop = len(prompt.prefix), len(prompt.prefix) + len(example.text)
        # A token counts as the question's when any of its characters does: tokenizers glue spaces and quotes to words.
        inside = [i for i, (low, high) in enumerate(offsets) if low < stop and high > begin and high > low]
        rows.append(EncodedPrompt(tuple(ids), inside[0], inside[-1] + 1))
    return rows


def encode_labels(
    tokenizer: "PreTrainedTokenizerBase", prompt: Prompt, encoded: EncodedPrompt, labels: Sequence[str]
) -> list[tuple[int, ...]]:
    """The token sequence of each label word as it follows the prompt's opening quote.

    Where the tokenizer would merge the prompt's end with the word, the word is tokenised behind a lone quote: after the
    prompt's tokens that is what the model can still say.

    Raises:
        UsageError: two labels share a token sequence, or one begins the other, so that their scores cannot be compared.
    """
    sequences = []
    for label in labels:
        whole = tuple(tokenizer(prompt.full + label)["input_ids"])
        rest = whole[len(encoded.ids) :] if whole[: len(encoded.ids)] == encoded.ids else ()
        sequences.append(rest or _behind_a_quote(tokenizer, label))
    for i, first in enumerate(sequences):
        for j, second in enumerate(sequences):
            if i != j and second[: len(first)] == first:
                raise UsageError(
                    f"Label words {labels[i]!r} and {labels[j]!r} tokenise alike for this model (token ids {first} and "
                    f"{second}): the shorter one is always at least as likely. Choose other label words."
                )
    return sequences


def _behind_a_quote(tokenizer: "PreTrainedTokenizerBase", label: str) -> tuple[int, ...]:
    """Tokens of a word that follows a quote without a space; some tokenizers put one before a word on its own."""
    quote, quoted, alone = (
        tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in ('"', f'"{label}', label)
    )
    return quoted[len(quote) :] if quoted[: len(quote)] == quote else alone


def shared_prefix(rows: Sequence[EncodedPrompt]) -> int:
    """Number of leading tokens that all rows share, kept short of every row's question."""
    limit = min(row.start for row in rows)
    first = rows[0].ids
    for n in range(limit):
        if any(row.ids[n] != first[n] for row in rows):
            return n
    return limit


def label_beginnings(tokenizer: "PreTrainedTokenizerBase", labels: Sequence[str]) -> list[list[int]]:
    """For each label word, the tokens whose text begins it. A token may begin several words: it counts for each."""
    texts = vocabulary_texts(tokenizer)
    return [
        sorted({token for n in range(1, len(label) + 1) for token in texts.get(label[:n].casefold(), ())})
        for label in labels
    ]


@lru_cache(maxsize=1)  # one model is asked about many languages
def vocabulary_texts(tokenizer: "PreTrainedTokenizerBase") -> dict[str, list[int]]:
    """Text of each token, without leading space and case -> the tokens that have it."""
    texts: dict[str, list[int]] = {}
    for token, text in enumerate(tokenizer.batch_decode([[i] for i in range(len(tokenizer))])):
        texts.setdefault(text.strip().casefold(), []).append(token)
    return texts


def word_tokens(vocabulary: Mapping[str, Sequence[int]], words: Sequence[Sequence[str]]) -> list[list[int]]:
    """For each set of words, the tokens that can begin one of them, as in Wendler et al. (arXiv 2402.10588).

    A token belongs to a set when its text is a non-empty beginning of one of the words. A text that can begin words of
    two sets counts for the first one alone: with English first, its set is the same whatever it is compared with, and a
    later set may be empty ("positiv" is a beginning of "positive").
    """
    taken: set[str] = set()
    found = []
    for group in words:
        beginnings = {word.casefold()[:n] for word in group for n in range(1, len(word) + 1)} - taken
        found.append(sorted(token for text in beginnings for token in vocabulary.get(text, ())))
        taken |= beginnings
    return found
