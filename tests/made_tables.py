"""Tables with made-up numbers under all names that figures read: every drawing of `figures.drawings` can be drawn."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

LAYERS = (0, 6, 12, 18)
POSITIONS = ("last", "mean")


def tidy(rng: np.random.Generator, axes: dict[str, Iterable[object]], low: float = 0.1, high: float = 0.9):
    """Every combination of `axes`, a random walk between `low` and `high`, and what figures read beside it."""
    table = pd.MultiIndex.from_product([list(values) for values in axes.values()], names=list(axes)).to_frame(
        index=False
    )
    value = rng.uniform(low, high, len(table))
    numbers = {"value": value, "share": value, "base": value, "reference": value, "delta": value - 0.5}
    interval = {"ci_low": value - 0.05, "ci_high": value + 0.05, "p_holm": value / 4}
    others = {"aligned": value + 0.05, "trained": table.index % 5 == 0, "true_share": 0.5, "neurons": table.index % 7}
    return table.assign(**{name: column for name, column in (numbers | interval | others).items() if name not in table})


def deltas(table: pd.DataFrame) -> pd.DataFrame:
    """The same with an interval around the difference."""
    return table.assign(ci_low=table["delta"] - 0.08, ci_high=table["delta"] + 0.08)


def made_tables(languages: Sequence[str], conditions: Sequence[str], n_ids: int = 3) -> dict[str, pd.DataFrame]:
    """Name of the table -> rows, for all drawings. The first condition is the base."""
    rng = np.random.default_rng(0)
    others, pooled = list(conditions[1:]), [*languages, "all"]

    def make(**axes: Iterable[object]) -> pd.DataFrame:
        return tidy(rng, axes)

    by_layer = {"condition": conditions, "layer": LAYERS, "position": POSITIONS}
    moved = by_layer | {"condition": others}
    lens = [
        *("english_mass", "target_mass", "entropy_bits", "right_answer_log2_rank", "token_energy", "kl_to_final_bits"),
        *("top_english_share", "top_own_share"),
    ]
    alike = ["pc1_pearson", "retrieval_from_pivot", "retrieval_to_pivot"]
    measures = ["retrieval", "cka", "centred_cosine_gap"]
    probes = ["label_from_pivot", "label_within", "language"]
    controls = [f"{name}_control" for name in probes]
    pairs = make(language_a=languages, language_b=languages, quantity=["retrieval"], **by_layer)
    points = make(language=languages, id=range(n_ids), **by_layer)
    quality = make(layer=LAYERS, position=POSITIONS, component=(1, 2)).assign(
        explained_variance_ratio=0.2, stability=0.99, trustworthiness=0.95, procrustes_disparity=0.1,
        silhouette_language=0.2, silhouette_id=-0.1,
    )  # fmt: skip
    xy = {name: rng.normal(size=len(points)) for name in ("pc1", "pc2", "umap1", "umap2")}
    answers = deltas(make(language=languages, condition=others))
    auc = {f"auc_{name}": answers[name] for name in ("base", "aligned", "delta", "ci_low", "ci_high", "p_holm")}
    accuracy = make(language=languages, condition=conditions)
    steps = pd.DataFrame({"step": range(20), "loss": 3 / np.arange(2, 22), "val_loss": 3.2 / np.arange(2, 22)})
    concept = {"language": pooled, "condition": conditions}
    words = [f"{which}_concept_{whose}_language" for which in ("source", "target") for whose in ("source", "target")]
    words.append("other_concept_target_language")
    heads = {"language": ["all"], "kind": ["head"], "layer": LAYERS, "head": range(8)}
    writers = make(language=["all"], condition=conditions, kind=["attention", "mlp"], layer=LAYERS, head=[np.nan])
    over = {"over": ["languages"], "quantity": measures, "against": ["auc"], "layer": LAYERS, "position": POSITIONS}
    agree = pd.concat(
        [
            make(of=["level"], condition=conditions, **over),
            make(of=["change", "before"], condition=others, **over),
            make(**over | {"over": ["pairs"], "of": ["level"], "condition": ["base"], "against": ["mexa", "anc"]}),
        ]
    )
    spoken = make(language=languages, condition=conditions, layer=LAYERS, token_language=[*languages, "unknown"])
    whole = spoken.groupby(["language", "condition", "layer"])["share"].transform("sum")
    return {
        "grid_delta": make(task=["sentiment", "nli"], condition=others, against=["base"], language=languages,
                           quantity=["accuracy", "auc"]),
        "accuracy_delta": answers.assign(**auc),
        "accuracy": accuracy.assign(auc_ci_low=accuracy["ci_low"], auc_ci_high=accuracy["ci_high"]),
        "predicted_share": make(language=languages, condition=conditions, label=["positive", "negative"]),
        "training": steps.assign(tokens_per_second=400, lr=2e-4),
        "logit_lens": make(language=languages, condition=conditions, layer=LAYERS, quantity=lens),
        "logit_lens_delta": make(language=languages, condition=others, layer=LAYERS, quantity=lens),
        "logit_lens_languages": spoken.assign(share=spoken["share"] / whole),
        "tuned_lens": make(language=languages, condition=conditions, layer=LAYERS, quantity=lens,
                           lens=["logit", "tuned", "constant"]),
        "alignment": make(language=languages, quantity=alike, **by_layer),
        "alignment_delta": make(language=languages, quantity=alike, **moved),
        "alignment_mean": make(quantity=measures, **by_layer),
        "alignment_mean_delta": make(quantity=measures, **moved),
        "alignment_pairs_delta": make(language=languages, quantity=measures, **moved),
        "alignment_matrix": pairs[pairs["language_a"] != pairs["language_b"]],
        "alignment_agreement": agree.assign(spearman=2 * agree["delta"], n=20),
        "linear_probe": make(language=languages, quantity=[*probes, *controls], **by_layer),
        "linear_probe_delta": make(language=languages, quantity=probes, **moved),
        "pca": points.assign(**xy),
        "pca_variance": quality,
        "umap": points.assign(**xy),
        "umap_quality": quality,
        "aligned_umap": points.assign(**xy),
        "aligned_umap_quality": quality.assign(
            trustworthiness_separate=0.96, silhouette_language_separate=0.2, displacement=0.3, displacement_separate=0.8
        ),
        "repair": make(language=pooled, source=["parallel", "same label", "other label"],
                       quantity=["repaired", "broken"], **by_layer),
        "repair_delta": make(language=languages, against=["same label"], quantity=["repaired", "broken"], **by_layer),
        "transplant_delta": deltas(
            make(language=pooled, condition=others, layer=LAYERS, against=["base", *others], quantity=["auc"],
                 kind=["adapter_up_to", "adapter_only", "state_into_base", "state_into_adapted"])
        ),
        "neurons_by_layer": tidy(rng, {"condition": conditions, "layer": LAYERS, "language": pooled,
                                       "class": ["specific", "related"]}),
        "neurons_ablation": make(language=languages, condition=conditions, ablated=[*languages, "random"]),
        "concept_patching": make(position=["word", "answer"], layer=LAYERS, source=["single", "mean"], quantity=words,
                                 **concept),
        "concept_unpatched": make(quantity=words, **concept),
        "patchscopes": make(word=["english", "own"], prompt=["identity", "translation"], layer=LAYERS,
                            quantity=["probability", "control", "recognised"], **concept),
        "subspace_delta": deltas(pd.concat([
            make(language=["all"], condition=conditions, position=positions, layer=LAYERS, against=["none"],
                 edit=["remove", "remove random", "steer", "steer random"], quantity=quantities)
            for positions, quantities in (
                (["last", "question"], ["accuracy"]), (["text"], ["own_language", "pivot_language"]))
        ])),
        "attribution": pd.concat([writers, make(condition=conditions, **heads)]),
        "attribution_delta": make(condition=others, **heads),
    }  # fmt: skip
