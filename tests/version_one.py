"""Caches as the first released format had them."""

from pathlib import Path

import h5py
from babelscope.activations.store import Cache


def version_one(new: Path, old: Path) -> None:
    """Write the cache `new` as one file `old`, states in it."""
    with h5py.File(new) as source, h5py.File(old, "w", libver=("v110", "v110")) as file:
        attributes = dict(source.attrs)
        for key in ("arrays", "shards", "compression", "d_mlp"):
            del attributes[key]
        attributes |= {"version": 1, "complete": True, "positions": ["last", "mean"]}
        file.attrs.update(attributes)
        for group in ("examples", "labels", "content_free"):
            for name, dataset in source[group].items():
                if name != "n_kept":
                    text = dataset.dtype.kind == "S"
                    file.create_dataset(f"{group}/{name}", data=list(dataset.asstr()[:]) if text else dataset[:])
        with Cache(new) as cache:
            file.create_dataset("examples/prompt", data=[prompt.full for prompt in cache.prompts()])
        for name in ("states/last", "states/mean"):
            file.create_dataset(name, data=source[name][:], chunks=(8, 1, source[name].shape[2]))
