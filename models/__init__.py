"""Models: families as rows of data, how one is opened, and the parts that a lens needs."""

from .adapters import adapted, adapter_inputs, attach, check_adapter, fingerprints
from .families import FAMILIES, Family, find_family
from .model import UNEMBEDDED, Model
from .opening import open_model, open_tokenizer, resolve, text_config

__all__ = [
    "FAMILIES",
    "UNEMBEDDED",
    "Family",
    "Model",
    "adapted",
    "adapter_inputs",
    "attach",
    "check_adapter",
    "find_family",
    "fingerprints",
    "open_model",
    "open_tokenizer",
    "resolve",
    "text_config",
]
