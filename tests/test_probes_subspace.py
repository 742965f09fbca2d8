"""The language subspace and steering: planted directions, planted effects, and a tiny model told what to say."""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from babelscope.analyses import ANALYSES
from babelscope.errors import DataError
from babelscope.interventions.bridge import bridged
from babelscope.interventions.edits import adding, every_token, removing, tokens_between
from babelscope.interventions.generate import continued
from babelscope.interventions.run import hook_name, run
from babelscope.models import Model
from babelscope.probes.answer_estimates import answer_estimates
from babelscope.probes.language_subspace import language_subspace, random_basis, steering_vector
from babelscope.probes.steering import Edited, share_estimates, steering_tables
from babelscope.tasks.identify import identify
from babelscope.viz.subspace import subspace_figure
from sklearn.decomposition import PCA

WIDTH = 24
ANALYSIS = sys.modules[ANALYSES["subspace"].run.__module__]  # its function of that name hides it


def planted() -> tuple[np.ndarray, np.ndarray]:
    """States [5, 40, WIDTH] whose means differ in the three returned orthonormal directions alone."""
    rng = np.random.default_rng(0)
    directions = random_basis(3, WIDTH, seed=1)
    meanings = rng.normal(size=(1, 40, WIDTH))  # the same in every language: they leave the means alone
    return meanings + (rng.normal(size=(5, 1, 3)) * 4) @ directions, directions


def test_planted_directions_are_recovered() -> None:
    states, directions = planted()
    space = language_subspace(states)
    assert space.basis.shape == (3, WIDTH)
    np.testing.assert_allclose(space.basis.T @ space.basis, directions.T @ directions, atol=1e-8)
    pca = PCA(2).fit(states.mean(axis=1))
    np.testing.assert_allclose(np.abs((language_subspace(states, 2).basis * pca.components_).sum(1)), 1)
    np.testing.assert_allclose(space.strength[:2], pca.singular_values_)
    removed = states - (states - space.origin) @ space.basis.T @ space.basis
    np.testing.assert_allclose(removed.mean(axis=1), np.tile(space.origin, (5, 1)), atol=1e-8)
    np.testing.assert_allclose(removed.std(axis=1), removed[:1].std(axis=1).repeat(5, 0))
    vector = steering_vector(states[0], states[1])
    np.testing.assert_allclose(states[0] + vector, states[1])


def test_what_has_no_subspace_is_refused() -> None:
    states, _ = planted()
    with pytest.raises(DataError, match="of rank 4 was asked for; the means of languages span 3"):
        language_subspace(states, 4)
    with pytest.raises(DataError, match="finite states of two languages"):
        language_subspace(states[:1])
    with pytest.raises(DataError, match="of rank 0 was asked for"):
        language_subspace(np.ones_like(states))
    with pytest.raises(DataError, match="25 orthonormal directions do not fit into 24"):
        random_basis(25, WIDTH, 0)


def test_the_control_takes_as_much_elsewhere(tiny: Callable[..., Model]) -> None:
    model = tiny()
    rows = [(0, 5, 6, 7), (0, 8, 9, 30)]
    basis, along = (torch.from_numpy(random_basis(2, model.d_model, seed)).float() for seed in (1, 2))
    with bridged(model) as engine:

        def states(*edits: object) -> torch.Tensor:
            return run(engine, rows, edits, [hook_name(2)]).read[hook_name(2)]  # type: ignore[arg-type]

        plain = states()
        away = plain - states(removing(2, every_token(rows), basis))
        control = plain - states(removing(2, every_token(rows), basis, along=along))
    torch.testing.assert_close(away.norm(dim=-1), control.norm(dim=-1), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(control @ along.T, away @ basis.T, rtol=1e-3, atol=1e-4)
    assert away.norm() > 0.1


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gpt2"])
def test_greedy_continuation_equals_whole_forwards(tiny: Callable[..., Model], family: str) -> None:
    """With and without an edit that goes on, against forwards of the whole text so far."""
    model = tiny(family)
    rows, vector = [(0, 5, 6, 7), (0, 8, 9, 30)], torch.randn(model.d_model)
    with bridged(model) as engine:
        edit = adding(2, tokens_between([1], 1, 4), vector)
        found = continued(engine, rows, 5, [edit], barred=[1])
        for i, row in enumerate(rows):
            said: list[int] = []
            for _ in range(5):
                whole = (*row, *said)
                edits = [adding(2, tokens_between([0], 1, len(whole)), vector)] if i else []
                logits = model.logits(run(engine, [whole], edits).normed)[0]
                logits[1] = -torch.inf
                said.append(int(logits.argmax()))
            assert found[i].tolist() == said
        with pytest.raises(ValueError, match=r"rows have \[3, 4\] tokens; expected one length"):
            continued(engine, [rows[0], rows[1][:3]], 1)


def test_a_planted_language_direction_steers_the_output(tiny: Callable[..., Model]) -> None:
    """The last layer's direction of one half of the vocabulary is planted: steering along it says that half's words."""
    model = tiny()
    half = len(model.tokenizer) // 2
    direction = torch.zeros(model.d_model)
    direction[3] = 1
    with torch.no_grad():
        model.unembedding.weight[:, 3] = torch.where(torch.arange(len(model.unembedding.weight)) < half, -1.0, 1.0)
    rows = [(0, 5, 6, 7), (0, 8, 9, 30)]
    with bridged(model) as engine:
        for sign in (1, -1):
            edit = adding(model.n_layers, every_token(rows), sign * 1000 * direction)
            assert ((continued(engine, rows, 4, [edit]) >= half) == (sign > 0)).all()


def test_texts_are_identified() -> None:
    assert identify("The weather was lovely and we walked along the river") == "en"
    assert identify("Das Wetter war schön und wir gingen am Fluss entlang") == "de"
    assert identify("今日は天気が良かったので、川沿いを歩きました") == "ja"
    assert identify(" 123 ... ") == ""


def tables() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Steering turns all Germans right in the aligned model and half of them in the base; its control does nothing."""
    truth = np.tile([0, 1], (2, 10))
    wrong = np.stack([1 - truth[0], truth[1]])
    halves = wrong.copy()
    halves[0, :10] = truth[0, :10]

    def measured(answers: np.ndarray) -> dict[str, object]:
        logprob = np.where(np.arange(2) == answers[..., None], -0.1, -2.4)
        return answer_estimates(logprob, truth, ["de", "sw"], 300, 0)  # type: ignore[return-value]

    plain = measured(wrong)
    outcome = {("base", "steer"): halves, ("aligned", "steer"): truth}
    runs = [
        Edited(condition, "last", 4, edit, measured(outcome.get((condition, edit), wrong)), plain)  # type: ignore[arg-type]
        for condition in ("base", "aligned")
        for edit in ("steer", "steer random")
    ]
    said = np.stack([np.arange(20) < 5, np.ones(20, dtype=bool)])
    shares = [share_estimates({"own_language": x}, 300, 0) for x in (said, said & False)]
    runs += [Edited("base", "text", 4, "steer", shares[1], shares[0])]
    return steering_tables(runs, ["de", "sw"], 20)


def test_tables_tell_effects_from_controls() -> None:
    values, deltas, changes = tables()
    accuracy = deltas.query("quantity == 'accuracy' and edit == 'steer' and language == 'de'")
    found = accuracy.set_index(["condition", "against"])["delta"]
    assert found.to_dict() == {
        ("base", "none"): 0.5,
        ("base", "random"): 0.5,
        ("aligned", "none"): 1,
        ("aligned", "random"): 1,
    }
    assert (accuracy["p_holm"] < 0.05).all()
    unmoved = deltas.query("edit == 'steer random' or (language == 'sw' and position == 'last')")
    assert (unmoved["delta"] == 0).all()
    assert (unmoved["p_holm"].fillna(1) == 1).all()
    change = changes.query("quantity == 'accuracy' and edit == 'steer'").set_index("language")
    assert change["delta"].to_dict() == {"de": 0.5, "sw": 0, "all": 0.25}
    said = values.query("quantity == 'own_language'").set_index("language")["value"]
    assert said.to_dict() == {"de": 0, "sw": 0, "all": 0}
    assert deltas.query("quantity == 'own_language'")["delta"].tolist() == [-0.25, -1, -0.625]


def test_the_figure_shows_the_pooled_differences() -> None:
    _, deltas, _ = tables()
    figure = subspace_figure(deltas)
    lines = {line.get_gid(): line for line in figure.axes[4].lines}
    np.testing.assert_allclose(lines["aligned steer"].get_xydata(), [[4, 0.5]])
    np.testing.assert_allclose(lines["base steer random"].get_xydata(), [[4, 0]])
    with pytest.raises(DataError, match="missing column"):
        subspace_figure(deltas.drop(columns="against"))


def test_every_layer_and_language_has_controls_of_its_own() -> None:
    """In whatever order languages stand; those of conditions are alike, whose states differ."""
    states, _ = planted()
    by_layer, order = {1: states, 2: states}, [4, 2, 0, 3, 1]
    codes = np.array(["en", "de", "zh", "hi", "sw"])

    def controls(code: str, reordered: bool = False, scale: float = 1) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        names = codes[order] if reordered else codes
        arrays = {layer: scale * (one[order] if reordered else one) for layer, one in by_layer.items()}
        found = ANALYSIS._directions(arrays, list(names), code, "en", 0)
        return {layer: (one.along, one.random / one.random.norm()) for layer, one in found.items()}

    once = controls("de")
    for other in (controls("de", reordered=True), controls("de", scale=2)):
        for layer in by_layer:
            torch.testing.assert_close(once[layer], other[layer])
    for layer, language in ((2, "de"), (1, "zh")):
        along, random = controls(language)[layer]
        assert torch.linalg.svdvals(along @ once[1][0].T).min() < 0.9  # 1 where they span the same
        assert (random @ once[1][1]).abs() < 0.9
