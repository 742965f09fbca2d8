"""On the real packaged model: gemma-3-270m, imported beforehand by `make test-real`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from babelscope.activations.capture import capture
from babelscope.activations.doctor import examine
from babelscope.activations.store import Cache
from babelscope.models import Model, open_model
from babelscope.packaged import home
from babelscope.settings import validate_study
from babelscope.study import Study, run_study
from babelscope.tasks import few_shot_prompts, load_task
from babelscope.unembedding import open_unembedding

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (home() / "models" / "gemma-3-270m").is_dir(), reason="gemma-3-270m is not imported"),
]
NAME = "gemma-3-270m"
TASK = load_task("sentiment")


@pytest.fixture(scope="module")
def model() -> Model:
    return open_model(NAME, dtype="float32", device="cpu")


def test_doctor_passes(model: Model) -> None:
    failed = [finding for finding in examine(model, TASK) if not finding.passed]
    assert failed == []


def test_shape_is_gemmas(model: Model) -> None:
    assert (model.n_layers, model.d_model, model.unembedding.out_features) == (18, 640, 262_144)


def test_lens_from_files_equals_the_model(model: Model) -> None:
    (captured,) = capture(model, few_shot_prompts(TASK, "zh", 2, 4), TASK.labels)
    unembed = open_unembedding(NAME, dtype="float32")
    for layer in (0, 9, 18):
        states = captured.last[:, layer]
        torch.testing.assert_close(unembed(states), model.unembed(states), rtol=1e-4, atol=1e-3)


def test_states_leave_the_range_of_float16(model: Model) -> None:
    """At the first token, where the norm is largest; answer positions come near it (45,000)."""
    (prompt,) = few_shot_prompts(TASK, "en", 2, 1)
    with torch.inference_mode():
        states = model.net(model.tokenizer(prompt.full, return_tensors="pt")["input_ids"], output_hidden_states=True)
    assert max(float(hidden.abs().max()) for hidden in states.hidden_states[:-1]) > torch.finfo(torch.float16).max
    (captured,) = capture(model, [prompt], TASK.labels)
    assert captured.last.abs().max() > 10_000


def test_it_knows_english_sentiment(model: Model) -> None:
    """Far from a proof, but a broken prompt, label or position shows here first."""
    prompts = few_shot_prompts(TASK, "en", 2, 40)
    (captured,) = capture(model, prompts, TASK.labels)
    truth = np.array([TASK.labels.index(prompt.example.label) for prompt in prompts])
    assert (captured.logprob.numpy().argmax(1) == truth).mean() > 0.7


def test_bfloat16_decides_as_float32_nearly_always(model: Model) -> None:
    prompts = few_shot_prompts(TASK, "en", 2, 40)
    low = open_model(NAME, dtype="bfloat16", device="cpu")
    full, half = (next(capture(m, prompts, TASK.labels)).logprob.argmax(1) for m in (model, low))
    assert (full == half).float().mean() > 0.85


def test_a_study_from_training_to_report(tmp_path: Path) -> None:
    settings = {
        "name": "real",
        "model": NAME,
        "languages": ["en", "zh", "sw"],
        "limit": 8,
        "adapters": {"aligned": {"pairs": ["zh-en"], "number": 32, "recipe": {"epochs": 1, "validate_every": 1}}},
        "probes": {"panels": 2, "draws": 200, "lens_limit": 4},
    }
    study = Study(validate_study(settings, "test"), tmp_path / "run")
    run_study(study)
    curve = pd.read_csv(study.folder / "adapters" / "aligned" / "training.csv")
    assert curve["val_loss"].iloc[-1] < curve["val_loss"].iloc[0]
    with Cache(study.cache_path("base")) as base, Cache(study.cache_path("aligned")) as aligned:
        assert base.attributes["model_sha256"] == aligned.attributes["model_sha256"]
        last = base.n_layers
        assert not np.allclose(base.states("last", last), aligned.states("last", last))
        np.testing.assert_array_equal(base.states("last", 0), aligned.states("last", 0))  # embeddings are not trained
    lens = pd.read_csv(study.folder / "tables" / "logit_lens.csv")
    at_the_end = lens[(lens["layer"] == last) & (lens["quantity"] == "english_mass")]
    assert (at_the_end["value"] > 0.5).all()
    assert (study.folder / "report.html").stat().st_size > 100_000
    assert run_study(study) == []
