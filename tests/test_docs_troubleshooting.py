"""docs/troubleshooting.md: every message that it explains is provoked here, and must be the one that it quotes."""

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
import torch
from babelscope import cli, errors
from babelscope.activations import cache as caching
from babelscope.activations import doctor
from babelscope.activations.capture import capture
from babelscope.activations.tokens import encode_labels, encode_prompts
from babelscope.errors import BabelscopeError
from babelscope.files import working_in
from babelscope.memory import halving
from babelscope.models import check_adapter, open_model, resolve
from babelscope.models.compute import choose_compute, choose_device, quantiser
from babelscope.models.packaged import PACKAGED, import_model
from babelscope.ranks import Ranks, current, local_gpu
from babelscope.tasks import Asking, Prompt, few_shot_prompts, load_task, question_pairs
from babelscope.training import Recipe, train
from typer.testing import CliRunner
from version_one import version_one

PAGE = (Path(__file__).parents[1] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
# heading, message, class
ENTRIES = {
    title: (message, kind)
    for title, message, kind in re.findall(
        r"^### (.+?)\n\n```\{\.text \.error\}\nError: (.+?)\n```\n\n`(\w+)`", PAGE, flags=re.MULTILINE | re.DOTALL
    )
}


@dataclass(frozen=True)
class Scene:
    """A tiny model, its adapter and caches, and a folder of one's own."""

    model: Path
    made: Path  # read-only: adapter, base.h5, aligned.h5 and scores.h5, which has no states
    folder: Path
    patch: pytest.MonkeyPatch

    def run(self, *arguments: object) -> None:
        result = CliRunner().invoke(cli.app, [str(argument) for argument in arguments])
        if result.exception is not None:
            raise result.exception

    def cache(self, out: Path, *more: object) -> None:
        shape = ("--languages", "en,fr", "--limit", 4, "--dtype", "float32", "--device", "cpu", "--unchecked")
        self.run("cache", "--model", self.model, *shape, *more, "--out", out)

    def copied(self, name: str) -> Path:
        shutil.copy(self.made / name, self.folder)
        shutil.copytree(self.made / f"{name}.shards", self.folder / f"{name}.shards")
        return self.folder / name

    def written(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text, encoding="utf-8")
        return self.folder / name

    def probe(self, name: str, *caches: object) -> None:
        self.run("probe", name, *caches, "--out", self.folder / "out", "--draws", 100)


@pytest.fixture(scope="module")
def made(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    scene = Scene(tiny_folder("llama"), folder, folder, pytest.MonkeyPatch())
    common = ("--pairs", "zh-en", "--number", 6, "--dtype", "float32", "--device", "cpu")
    scene.run("train", "--model", scene.model, *common, "--out", folder / "adapter")
    scene.cache(folder / "base.h5")
    scene.cache(folder / "aligned.h5", "--adapter", folder / "adapter")
    scene.cache(folder / "scores.h5", "--keep", "none")
    return folder


@pytest.fixture
def scene(tiny_folder: Callable[[str], Path], made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tiny_folder("llama"), made, tmp_path, monkeypatch)


def home(scene: Scene) -> None:
    """As if nothing had been imported yet."""
    scene.patch.setenv("BABELSCOPE_HOME", str(scene.folder))


def not_imported(scene: Scene) -> None:
    home(scene)
    resolve("gemma-3-270m")


def not_installed(scene: Scene) -> None:
    home(scene)
    scene.patch.setitem(sys.modules, PACKAGED["gemma-3-270m"].module, None)
    import_model("gemma-3-270m")


def no_network(scene: Scene) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError("Name or service not known")

    scene.patch.setattr("huggingface_hub.snapshot_download", refuse)
    resolve("Qwen/Qwen3-0.6B")


def unknown_family(scene: Scene) -> None:
    scene.written("config.json", '{"model_type": "mamba"}')
    scene.written("model.safetensors", "")
    open_model(str(scene.folder))


def pickled_weights(scene: Scene) -> None:
    scene.written("config.json", '{"model_type": "llama"}')
    open_model(str(scene.folder))


def untrusted_states(scene: Scene) -> None:
    wrong = doctor.Finding("batch and padding invariance", False, "relative difference 0.4", "at most 0.0001")
    scene.patch.setattr(doctor, "quick_checks", lambda *arguments: [wrong])
    doctor.require_sound(open_model(str(scene.model), device="cpu"), [], [])


def bad_rows(scene: Scene) -> None:
    row = '{"language": "en", "label": "maybe", "premise": "A dog sleeps.", "hypothesis": "An animal rests."}'
    load_task("nli", str(scene.written("my.jsonl", row)))


def foreign_files(scene: Scene) -> None:
    text = (
        'task = "sentiment"\ndataset = "csv"\nlanguages = ["en"]\nfiles = "../x.csv"\n'
        'fields = {text = "text"}\nlabel = {column = "label"}\n'
    )
    load_task("sentiment", str(scene.written("map.toml", text)))


def long_prompt(scene: Scene) -> None:
    encode_prompts(open_model(str(scene.model), device="cpu").tokenizer, prompts(2), 64)


def words_alike(scene: Scene) -> None:
    tokenizer, (prompt, *_) = open_model(str(scene.model), device="cpu").tokenizer, prompts(0)
    (encoded,) = encode_prompts(tokenizer, [prompt], None)
    encode_labels(tokenizer, prompt, encoded, ["yes", "yes"])


def prompts(shots: int) -> list[Prompt]:
    return few_shot_prompts(load_task("sentiment"), "en", Asking(shots), 2)


def nan_states(scene: Scene) -> None:
    model = open_model(str(scene.model), dtype="float32", device="cpu")
    torch.nn.init.constant_(model.blocks[1].get_parameter("mlp.down_proj.weight"), torch.nan)
    capture(model, prompts(0), ["negative", "positive"])


def other_prompts(scene: Scene) -> None:
    scene.cache(scene.copied("base.h5"), "--shots", 1)


def lost_shard(scene: Scene) -> None:
    base = scene.copied("base.h5")
    (scene.folder / "base.h5.shards" / "00001.h5").unlink()
    scene.probe("linear", base)


def cut_index(scene: Scene) -> None:
    base = scene.copied("base.h5")
    base.write_bytes(base.read_bytes()[:-100])
    scene.run("eval", base)


def old_cache(scene: Scene) -> None:
    version_one(scene.made / "base.h5", scene.folder / "old.h5")
    scene.run("eval", scene.folder / "old.h5")


def linked_states(scene: Scene) -> None:
    old = scene.folder / "old.h5"
    version_one(scene.made / "base.h5", old)
    with h5py.File(old, "r+") as file:
        del file["states/last"]
        file["states/last"] = h5py.SoftLink("/states/mean")
    scene.run("cache", "upgrade", old, "--out", scene.folder / "new.h5")


def full_disk(scene: Scene) -> None:
    scene.patch.setattr(caching.shutil, "disk_usage", lambda folder: SimpleNamespace(free=1000))
    scene.cache(scene.folder / "base.h5")


def busy(scene: Scene) -> None:
    with working_in(scene.folder, errors.StudyError), working_in(scene.folder, errors.StudyError):
        pass


def unlike_caches(scene: Scene) -> None:
    scene.cache(scene.folder / "other.h5", "--words", "own")
    scene.run("eval", scene.made / "base.h5", scene.folder / "other.h5")


def alike_names(scene: Scene) -> None:
    scene.run("eval", scene.made / "base.h5", scene.made / "aligned.h5", scene.copied("aligned.h5"))


def study(scene: Scene, text: str = "name: s\nmodel: m\n", *more: str) -> None:
    scene.run("study", "run", scene.written("s.yaml", text), "--out", scene.folder / "run", *more)


def other_study(scene: Scene) -> None:
    (scene.folder / "run").mkdir()
    scene.written("run/study.yaml", "name: another\nmodel: m\ntask: sentiment\n")
    study(scene, f"name: s\nmodel: {scene.model}\nlanguages: [en]\nlimit: 2\n")


def divergence(scene: Scene) -> None:
    pairs = question_pairs(load_task("sentiment"), [("zh", "en")], 6, seed=0)
    model = open_model(str(scene.model), dtype="float32", device="cpu")
    train(model, pairs, Recipe(learning_rate=1e30, pairs_per_step=2, warmup=0.0), scene.folder / "adapter")


def adapter_exists(scene: Scene) -> None:
    common = ("--model", scene.model, "--pairs", "de-en", "--number", 6, "--dtype", "float32", "--device", "cpu")
    scene.run("train", *common, "--out", scene.made / "adapter")


def foreign_adapter(scene: Scene) -> None:
    other = scene.folder / "other"
    shutil.copytree(scene.model, other)
    (other / "config.json").write_text((other / "config.json").read_text() + " ")
    check_adapter(scene.made / "adapter", other)


def pickled_adapter(scene: Scene) -> None:
    scene.written("adapter_config.json", "{}")
    check_adapter(scene.folder, scene.model)


def no_gpu(scene: Scene) -> None:
    scene.patch.setattr(torch.cuda, "is_available", lambda: False)
    choose_device("cuda")


def no_memory(scene: Scene) -> None:
    def exhausted(budget: int) -> None:
        raise MemoryError

    halving(exhausted, 4, 1, "a single prompt such as 'review-1' in 'en'")


def too_many_processes(scene: Scene) -> None:
    scene.patch.setattr(torch.cuda, "device_count", lambda: 2)
    scene.patch.setenv("LOCAL_RANK", "2")
    local_gpu()


def lost_rank(scene: Scene) -> None:
    def closed() -> None:
        raise RuntimeError("Connection closed by peer")

    scene.patch.setattr(torch.distributed, "barrier", closed)
    Ranks(0, 2).wait()


def one_process(scene: Scene) -> None:
    scene.patch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    scene.patch.setenv("MASTER_ADDR", "127.0.0.1")
    current()


def fsdp_cache(scene: Scene) -> None:
    scene.patch.setenv("ACCELERATE_USE_FSDP", "true")
    scene.cache(scene.folder / "base.h5")


def deepspeed(scene: Scene) -> None:
    scene.patch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    current()


# heading of the page -> what provokes the message beneath it
PROVOKED: dict[str, Callable[[Scene], object]] = {
    "A model is not imported": not_imported,
    "The package of a model is missing": not_installed,
    "A model's name is not known": lambda scene: resolve("gemma"),
    "The hub cannot be reached": no_network,
    "A model family is not known": unknown_family,
    "Weights are pickled": pickled_weights,
    "The doctor finds a fault": untrusted_states,
    "A language is not known": lambda scene: scene.run("tasks", "show", "nli", "--languages", "cn"),
    "A task is not known": lambda scene: load_task("sentimnt"),
    "Rows of a file are faulty": bad_rows,
    "A map of a dataset leads elsewhere": foreign_files,
    "There are not as many demonstrations": lambda scene: scene.run("tasks", "show", "nli", "--shots", 50),
    "A prompt is too long": long_prompt,
    "Two answers look alike to the model": words_alike,
    "An option is missing": lambda scene: scene.run("cache"),
    "A cache is not there": lambda scene: scene.run("eval", scene.folder / "base.h5"),
    "A cache of other settings is in the way": other_prompts,
    "A shard is missing or damaged": lost_shard,
    "An index is damaged": cut_index,
    "A cache is of an old version": old_cache,
    "An old file is more than a cache": linked_states,
    "The disk would not suffice": full_disk,
    "Another process is at work": busy,
    "States are not finite": nan_states,
    "Two caches do not belong together": unlike_caches,
    "The base does not come first": lambda scene: scene.run("eval", scene.made / "aligned.h5", scene.made / "base.h5"),
    "Two caches have one name": alike_names,
    "A probe is not known": lambda scene: scene.probe("logitlens", scene.made / "base.h5"),
    "States were not kept": lambda scene: scene.probe("linear", scene.made / "scores.h5"),
    "The pivot is not in the caches": lambda scene: scene.run(
        "probe", "alignment", scene.made / "base.h5", "--pivot", "de", "--out", scene.folder
    ),
    "A layer is not in the caches": lambda scene: scene.probe("alignment", scene.made / "base.h5", "--layers", "99"),
    "Layers are no numbers": lambda scene: scene.probe("alignment", scene.made / "base.h5", "--layers", "all"),
    "A study file has a wrong key": lambda scene: study(scene, "name: s\nmodel: m\nlimits: 20\n"),
    "An override is not understood": lambda scene: study(scene, "name: s\nmodel: m\n", "--set", "limit"),
    "The folder holds another study": other_study,
    "There are no tables": lambda scene: scene.run("report", scene.folder),
    "Training diverges": divergence,
    "An adapter is in the way": adapter_exists,
    "An adapter is of another base": foreign_adapter,
    "An adapter is pickled": pickled_adapter,
    "No GPU is found": no_gpu,
    "A dtype needs a GPU": lambda scene: quantiser(choose_compute("cpu", "nf4"), "lm_head"),
    "There is no memory": no_memory,
    "More processes than GPUs": too_many_processes,
    "A process was lost": lost_rank,
    "One process instead of several": one_process,
    "FSDP is for training": fsdp_cache,
    "DeepSpeed": deepspeed,
}


@pytest.mark.parametrize("title", PROVOKED)
def test_the_page_quotes_what_is_said(title: str, scene: Scene) -> None:
    with pytest.raises(BabelscopeError) as caught:
        PROVOKED[title](scene)
    message, kind = ENTRIES[title]
    quoted = re.sub(r"<\w+>", ".+?", re.escape(message).replace(r"\<", "<").replace(r"\>", ">"))
    assert re.fullmatch(quoted, str(caught.value), flags=re.DOTALL), str(caught.value)
    assert type(caught.value).__name__ == kind


def test_every_entry_is_provoked_and_every_class_explained() -> None:
    assert ENTRIES.keys() == PROVOKED.keys()
    assert re.findall(r"^### (.+)$", PAGE, flags=re.MULTILINE) == list(PROVOKED)
    assert {kind for _, kind in ENTRIES.values()} == {kind.__name__ for kind in BabelscopeError.__subclasses__()}
