"""The likeliest tokens of single examples: each in its row, and safe in a CSV file."""

from pathlib import Path

import numpy as np
from babelscope.analyses.lens_examples import IDS, RANKS, example_tokens
from babelscope.analyses.lens_packs import Gathered
from babelscope.results import read_tables, write_tables

TEXTS = ["1", " leading", "a,b", '"', "\r", "two\nlines", "\t", "NaN", "", "<script>", "中", "\u202e"]


class Tokenizer:
    def decode(self, tokens: list[int]) -> str:
        return TEXTS[tokens[0]]


def gathered(tokens: np.ndarray, probability: np.ndarray) -> Gathered:
    nothing = np.zeros((2, 25, 3), np.float32)
    of_words, of_language = np.zeros((2, 25, 3, 2), np.float32), np.zeros((2, 3, 5), np.float32)
    return Gathered(
        of_words, nothing, nothing, nothing, tokens, probability, of_language.astype(int), of_language, nothing
    )


def test_each_token_stands_in_its_row_and_survives_a_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(len(TEXTS), size=(2, 25, 3, 10))
    probability = np.sort(rng.dirichlet(np.ones(10), (2, 25, 3)), axis=-1)[..., ::-1].astype(np.float32)
    ids = [f"{i:03d}" for i in range(25)]
    table = example_tokens({"base": gathered(tokens, probability)}, ["en", "zh"], ids, [0, 4, 9], Tokenizer())  # type: ignore[arg-type]
    write_tables({"examples": table}, tmp_path)
    found = read_tables(tmp_path)["examples"].set_index(["language", "id", "condition", "layer", "rank"])
    assert len(found) == 2 * IDS * 3 * RANKS
    pictures = str.maketrans("\r\n\t", "␍␊␉")
    for language, i, layer, rank in ((0, 0, 0, 0), (1, 19, 2, 4), (1, 7, 1, 2)):
        row = found.loc[(["en", "zh"][language], ids[i], "base", [0, 4, 9][layer], rank + 1)]
        wanted = TEXTS[tokens[language, i, layer, rank]].translate(pictures)
        assert (row["token"] == wanted) if wanted else np.isnan(row["token"])
        assert abs(row["probability"] - probability[language, i, layer, rank]) < 1e-5
    shown = set(found["token"].dropna())
    assert shown == {text.translate(pictures) for text in TEXTS if text}
