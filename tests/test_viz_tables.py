"""What is asked of tables before they are drawn."""

import pandas as pd
import pytest
from babelscope.errors import UsageError
from babelscope.viz.tables import select

TABLES = {
    "values": pd.DataFrame({"language": ["de", "zh", "all"], "layer": [0, 9, 9], "value": [1, 2, 3]}),
    "pairs": pd.DataFrame({"language_a": ["de", "zh"], "language_b": ["zh", "sw"]}),
    "ablation": pd.DataFrame({"language": ["de", "de"], "ablated": ["zh", "random"]}),
    "means": pd.DataFrame({"layer": [0, 9], "value": [1, 2]}),
    "training": pd.DataFrame({"step": [1]}),
}


def test_rows_of_some_languages_remain_and_those_of_all_together():
    found = select(TABLES, ["de", "zh"])
    assert list(found["values"]["value"]) == [1, 2, 3]
    assert found["pairs"]["language_b"].tolist() == ["zh"]
    found = select(TABLES, ["de"])
    assert list(found["values"]["language"]) == ["de", "all"]
    assert found["ablation"]["ablated"].tolist() == ["random"]
    assert "pairs" not in found
    assert len(found["training"]) == 1
    assert len(found["means"]) == 2


def test_rows_of_some_layers_remain():
    found = select(TABLES, None, [9])
    assert {name: len(table) for name, table in found.items()} == {
        "values": 2, "pairs": 2, "ablation": 2, "means": 1, "training": 1,
    }  # fmt: skip
    assert list(select(TABLES, ["de"], [9])["values"]["language"]) == ["all"]


def test_nothing_chosen_is_everything():
    found = select(TABLES)
    assert all(found[name].equals(table) for name, table in TABLES.items())


def test_what_no_table_has_is_named():
    with pytest.raises(UsageError, match=r"No language 'fr' in the tables. They have: de, sw, zh"):
        select(TABLES, ["de", "fr"])
    with pytest.raises(UsageError, match=r"No layer 3 in the tables. They have: 0, 9"):
        select(TABLES, None, [3])
