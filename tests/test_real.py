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
from babelscope.models.packaged import home
from babelscope.models.unembedding import open_unembedding
from babelscope.settings import validate_study
from babelscope.study.run import run_study
from babelscope.study.stages import Study
from babelscope.tasks import Asking, few_shot_prompts, load_task

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
    findings = examine(model, TASK, lambda dtype: open_model(NAME, dtype=dtype, device="cpu"))
    assert [finding for finding in findings if not finding.passed] == []


def test_shape_is_gemmas(model: Model) -> None:
    assert (model.n_layers, model.d_model, model.unembedding.out_features) == (18, 640, 262_144)


def test_lens_from_files_equals_the_model(model: Model) -> None:
    captured = capture(model, few_shot_prompts(TASK, "zh", Asking(2), 4), TASK.labels)
    unembed = open_unembedding(NAME, dtype="float32")
    for layer in (0, 9, 18):
        states = captured.last[:, layer]
        torch.testing.assert_close(unembed(states), model.unembed(states), rtol=1e-4, atol=1e-3)


def test_states_leave_the_range_of_float16(model: Model) -> None:
    """At the first token, where the norm is largest; answer positions come near it (45,000)."""
    (prompt,) = few_shot_prompts(TASK, "en", Asking(2), 1)
    with torch.inference_mode():
        states = model.net(model.tokenizer(prompt.full, return_tensors="pt")["input_ids"], output_hidden_states=True)
    assert max(float(hidden.abs().max()) for hidden in states.hidden_states[:-1]) > torch.finfo(torch.float16).max
    captured = capture(model, [prompt], TASK.labels)
    assert captured.last.abs().max() > 10_000


def test_it_knows_english_sentiment(model: Model) -> None:
    """Far from a proof, but a broken prompt, label or position shows here first."""
    prompts = few_shot_prompts(TASK, "en", Asking(2), 40)
    captured = capture(model, prompts, TASK.labels)
    truth = np.array([TASK.labels.index(prompt.example.label) for prompt in prompts])
    assert (captured.logprob.numpy().argmax(1) == truth).mean() > 0.7


def test_labels_of_several_tokens_score_as_in_a_plain_forward(model: Model) -> None:
    """ "entailment" and "contradiction" behind six shots: one rides behind the prompt, one is appended to its keys."""
    task = load_task("nli")
    for code in ("zh", "th"):
        prompts = few_shot_prompts(task, code, Asking(6), 5)
        captured = capture(model, prompts, task.labels)
        for i in (0, 4):
            ids = model.tokenizer(prompts[i].full)["input_ids"]
            for k, label in enumerate(task.labels):
                whole = model.tokenizer(prompts[i].full + label)["input_ids"]
                assert whole[: len(ids)] == ids
                with torch.inference_mode():
                    logprobs = model.net(torch.tensor([whole])).logits[0].log_softmax(-1)
                expected = sum(float(logprobs[n - 1, whole[n]]) for n in range(len(ids), len(whole)))
                assert captured.logprob[i, k] == pytest.approx(expected, abs=1e-3)


def test_bfloat16_decides_as_float32_nearly_always(model: Model) -> None:
    prompts = few_shot_prompts(TASK, "en", Asking(2), 40)
    low = open_model(NAME, dtype="bfloat16", device="cpu")
    full, half = (capture(m, prompts, TASK.labels).logprob.argmax(1) for m in (model, low))
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
    caches = study.folder / "activations"
    with Cache(caches / "base.h5") as base, Cache(caches / "aligned.h5") as aligned:
        assert base.attributes["model_sha256"] == aligned.attributes["model_sha256"]
        last = base.n_layers
        assert not np.allclose(base.states("last", last), aligned.states("last", last))
        np.testing.assert_array_equal(base.states("last", 0), aligned.states("last", 0))  # embeddings are not trained
    lens = pd.read_csv(study.folder / "tables" / "logit_lens.csv")
    at_the_end = lens[(lens["layer"] == last) & (lens["quantity"] == "english_mass")]
    assert (at_the_end["value"] > 0.5).all()
    assert (study.folder / "report.html").stat().st_size > 100_000
    assert run_study(study) == []
