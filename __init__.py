"""babelscope: what happens inside a language model when it is aligned across languages.

The names below are the public Python surface; each is imported when it is first used, so that `import babelscope` and
`babelscope --help` stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activations.cache import Request, write_cache
    from .activations.capture import capture
    from .activations.store import Cache
    from .analyses import Settings, analyse
    from .findings import verdict
    from .models import open_model
    from .report import write_report
    from .results import draw_figures, write_tables
    from .run import run_study
    from .settings import load_study
    from .study import Study
    from .tasks import Asking, few_shot_prompts, load_task, question_pairs
    from .training import PRESETS, Recipe, train
    from .unembedding import open_unembedding

_HOMES = {
    "activations.cache": ("Request", "write_cache"),
    "activations.capture": ("capture",),
    "activations.store": ("Cache",),
    "analyses": ("Settings", "analyse"),
    "models": ("open_model",),
    "findings": ("verdict",),
    "report": ("write_report",),
    "results": ("draw_figures", "write_tables"),
    "settings": ("load_study",),
    "run": ("run_study",),
    "study": ("Study",),
    "tasks": ("Asking", "few_shot_prompts", "load_task", "question_pairs"),
    "training": ("PRESETS", "Recipe", "train"),
    "unembedding": ("open_unembedding",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "PRESETS",
    "Asking",
    "Cache",
    "Recipe",
    "Request",
    "Settings",
    "Study",
    "analyse",
    "capture",
    "draw_figures",
    "few_shot_prompts",
    "load_study",
    "load_task",
    "open_model",
    "open_unembedding",
    "question_pairs",
    "run_study",
    "train",
    "verdict",
    "write_cache",
    "write_report",
    "write_tables",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
