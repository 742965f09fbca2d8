"""`cache upgrade` reads HDF5 files of anybody: what leads out of the file, or says that it is huge, is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from babelscope.activations.cache import Request, write_cache
from babelscope.activations.upgrade import upgrade
from babelscope.errors import CacheError
from babelscope.models import Model, open_model
from babelscope.tasks import Asking, load_task
from version_one import version_one


@pytest.fixture(scope="module")
def whole(tiny_folder: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("one")
    model: Model = open_model(str(tiny_folder("llama")), dtype="float32", device="cpu")
    write_cache(model, Request(load_task("sentiment"), ("en",), Asking(shots=0), limit=8), folder / "base.h5")
    version_one(folder / "base.h5", folder / "old.h5")
    with h5py.File(folder / "secret.h5", "w") as file:
        file["states"] = np.zeros((8, 4, 32), np.uint16)
    return folder / "old.h5"


@pytest.fixture
def old(whole: Path, tmp_path: Path) -> Path:
    shutil.copy(whole, tmp_path / "old.h5")
    shutil.copy(whole.with_name("secret.h5"), tmp_path / "secret.h5")
    return tmp_path / "old.h5"


def external_link(file: h5py.File) -> None:
    file["states/last"] = h5py.ExternalLink("secret.h5", "/states")


def external_group(file: h5py.File) -> None:
    del file["states"]
    file["states"] = h5py.ExternalLink("secret.h5", "/")


def soft_link(file: h5py.File) -> None:
    file["states/last"] = h5py.SoftLink("/states/mean")


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((8, 4, 32), np.uint16)
    layout[:] = h5py.VirtualSource("secret.h5", "states", (8, 4, 32))
    file.create_virtual_dataset("states/last", layout)


def external_storage(file: h5py.File) -> None:
    file.create_dataset("states/last", (8, 4, 32), np.uint16, external=[("secret.h5", 0, h5py.h5f.UNLIMITED)])


def unwritten(file: h5py.File) -> None:
    file.create_dataset("states/last", (10**10, 4, 32), np.uint16, chunks=(8, 1, 32))  # HDF5 makes up what is not there


def huge_chunks(file: h5py.File) -> None:
    file.create_dataset("states/last", (0, 4, 32), np.uint16, maxshape=(None, 4, 32), chunks=(10**7, 4, 32))


def compressed(file: h5py.File) -> None:
    file.create_dataset("states/last", data=np.zeros((8, 4, 32), np.uint16), chunks=(8, 1, 32), compression=9)


def a_group(file: h5py.File) -> None:
    file.create_group("states/last")


def other_shape(file: h5py.File) -> None:
    file["states/last"] = np.zeros((8, 4, 31), np.uint16)


def large_attribute(file: h5py.File) -> None:
    file.attrs["languages"] = ["en"] * 1001


def without_texts(file: h5py.File) -> None:
    del file["examples/prompt"]
    file["states/last"] = np.zeros((8, 4, 32), np.uint16)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (external_link, "states/last is a link"),
        (external_group, "states/last is a link"),
        (soft_link, "states/last is a link"),
        (virtual, "states/last is stored in other files"),
        (external_storage, "states/last is stored in other files"),
        (unwritten, r"states/last is said to be of shape \(10000000000, 4, 32\), of which the file holds 0 bytes"),
        (huge_chunks, "states/last is said to be of shape"),
        (compressed, "states/last is compressed"),
        (a_group, "states/last is no array"),
        (other_shape, r"states/last has the shape \(8, 4, 31\), expected \(8, 4, 32\)"),
        (large_attribute, "attribute languages is no text, number or short list"),
        (without_texts, "has no examples/prompt"),
    ],
)
def test_what_is_no_plain_array_of_the_file_is_refused(
    old: Path, change: Callable[[h5py.File], None], reason: str
) -> None:
    with h5py.File(old, "r+") as file:
        del file["states/last"]
        change(file)
    with pytest.raises(CacheError, match=reason):
        upgrade(old, old.with_name("new.h5"))
    assert not old.with_name("new.h5.shards").exists()


def test_many_texts_that_are_one_long_text_are_refused(old: Path) -> None:
    """HDF5 stores a text of any length apart, and in the dataset where it lies: twice the same place costs nothing."""
    long = "x" * 10_000
    with h5py.File(old, "r+") as file:
        del file["examples/text"]
        file.create_dataset("examples/text", data=[long] + ["y"] * 999, dtype=h5py.string_dtype())
        place, n = file["examples/text"].id.get_offset(), 1000
    data = bytearray(old.read_bytes())
    data[place : place + 16 * n] = data[place : place + 16] * n
    old.write_bytes(data)
    with pytest.raises(CacheError, match="the texts of /examples/text are longer than the file"):
        upgrade(old, old.with_name("new.h5"))


def test_the_file_as_it_was_is_upgraded(old: Path) -> None:
    upgrade(old, old.with_name("new.h5"))
    assert old.with_name("new.h5").exists()
