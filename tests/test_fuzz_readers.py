"""What is read beside caches, mutated: old caches, training checkpoints, texts, study files. An error, or numbers."""

import json
import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import xxhash
from babelscope.activations.cache import write_cache
from babelscope.activations.store import Cache
from babelscope.activations.upgrade import upgrade
from babelscope.errors import BabelscopeError, CacheError, UsageError
from babelscope.models import open_model
from babelscope.settings import load_study
from babelscope.tasks import load_task
from babelscope.training.checkpoint import DIGEST, CurvePoint, Standing, load_checkpoint, save_checkpoint
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mutations import mutated
from test_fuzz import REQUEST
from version_one import version_one

FEW = 300
quickly = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.mark.slow
def test_mutated_caches_of_version_one_are_upgraded_or_refused(
    tiny_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """Version 1 has no checksum: what comes out is read again, and may have other numbers."""
    model = open_model(str(tiny_folder("llama")), dtype="float32", device="cpu")
    write_cache(model, replace(REQUEST, limit=8, keep=("states/last", "states/mean")), tmp_path / "base.h5")
    old = tmp_path / "old.h5"
    version_one(tmp_path / "base.h5", old)
    whole, rng, refused = old.read_bytes(), random.Random(3), 0
    for n in range(FEW):
        old.write_bytes(mutated(whole, rng, 0))
        out = tmp_path / f"{n}" / "new.h5"
        try:
            upgrade(old, out)
            with Cache(out) as cache:
                cache.examples()
        except CacheError:
            refused += 1
    assert FEW / 4 < refused < FEW


def test_mutated_checkpoints_are_loaded_or_training_begins_anew(tmp_path: Path) -> None:
    parameters = [torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(4))]
    optimiser = torch.optim.AdamW(parameters)
    sum(p.sum() for p in parameters).backward()  # type: ignore[union-attr]
    optimiser.step()
    curve = [CurvePoint(0, None, 1.0, 0.0, 0.1), CurvePoint(1, 0.5, 0.9, 10.0, 0.1)]
    path = tmp_path / "checkpoint"
    save_checkpoint(path, Standing(curve, [p.detach().clone() for p in parameters]), parameters, optimiser)
    whole, rng, refused = path.read_bytes(), random.Random(4), 0
    before = [p.detach().clone() for p in parameters]
    restored = load_checkpoint(path, parameters, optimiser)
    assert restored is not None
    assert restored.curve == curve
    for n in range(FEW):
        data = mutated(whole, rng, DIGEST)
        if n % 2:  # forged
            data[:DIGEST] = xxhash.xxh3_128_digest(bytes(data[DIGEST:]))
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = load_checkpoint(path, parameters, optimiser)
        if found is None:
            refused += 1
            assert all(torch.equal(p, b) for p, b in zip(parameters, before, strict=True))
        else:
            assert all(p.isfinite().all() for p in parameters)
            before = [p.detach().clone() for p in parameters]
    assert FEW / 2 <= refused < FEW


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)
FIELDS = st.sampled_from(["language", "label", "text", "id", "split", "x"])
VALUES = st.sampled_from(["en", "zh", "positive", "negative", "test", "train", "Good.", "\ud800"]) | JSON
ROWS = st.lists(st.dictionaries(FIELDS, VALUES) | JSON, max_size=4)


def refused_or_read(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        task = load_task("sentiment", str(path))
    except BabelscopeError as error:
        str(error).encode()
        return
    for group in task.examples.values():
        for one in group:
            assert one.text.encode()


@quickly
@given(ROWS)
@example([{"language": "en", "label": "positive", "text": "\ud800"}])
def test_rows_of_any_kind_are_faults_or_examples(tmp_path: Path, rows: list[object]) -> None:
    refused_or_read(tmp_path / "x.jsonl", "\n".join(map(json.dumps, rows)).encode())
    refused_or_read(tmp_path / "x.json", json.dumps(rows).encode())


@quickly
@given(st.binary(max_size=60), st.sampled_from(["jsonl", "json", "csv"]))
@example(b"[" * 100_000, "jsonl")
@example(b"[" * 100_000, "json")
@example(b"1" * 5000, "jsonl")
@example(b"language,label,text\nen,positive," + b"x" * 200_000, "csv")
@example(b"language,label,text\nen,positive,\0", "csv")
def test_bytes_of_any_kind_are_faults_or_examples(tmp_path: Path, data: bytes, ending: str) -> None:
    refused_or_read(tmp_path / f"x.{ending}", data)
    refused_or_read(tmp_path / f"x.{ending}", b"language,label,text\nen,positive,A good one.\n" + data)


@quickly
@given(st.text(alphabet="namemodeltsk:-[]{}!&*<>|\"'#\n 0123456789.,", max_size=60))
@example("[" * 2_000)
@example("a: 2001-99-99")
@example("a: !!int ''")
@example("a: !!bool maybe")
@example("a: !!timestamp x")
@example("&a [*a]")
@example("name: &a {b: *a}")
@example("? [a]\n: b")
@example("1: 2")
def test_study_files_of_any_kind_are_refused_or_read(tmp_path: Path, text: str) -> None:
    for whole in (text, f"name: s\nmodel: m\n{text}"):
        (tmp_path / "s.yaml").write_text(whole, encoding="utf-8")
        try:
            load_study(tmp_path / "s.yaml")
        except UsageError:
            continue


def test_a_checkpoint_of_other_parameters_is_told(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimiser.step()
    save_checkpoint(
        tmp_path / "c", Standing([CurvePoint(0, None, 1.0, 0.0, 0.1)], [torch.ones(2)]), [parameter], optimiser
    )
    other = [torch.nn.Parameter(torch.ones(3))]
    with pytest.warns(UserWarning, match=r"is damaged \(0.value has another shape.*starts from the beginning"):
        assert load_checkpoint(tmp_path / "c", other, torch.optim.AdamW(other)) is None
