"""babelscope: what happens inside a language model when it is aligned across languages.

The names below are the public Python surface; each is imported when it is first used, so that `import babelscope` and
`babelscope --help` stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .activations.cache import Request, write_cache
    from .activations.capture import capture
    from .activations.export import export
    from .activations.inventory import leftovers, remove_leftovers
    from .activations.merge import merge
    from .activations.repair import repair
    from .activations.store import Cache
    from .activations.upgrade import upgrade
    from .activations.verify import verify
    from .analyses import Settings, analyse
    from .commands import (
        doctor,
        evaluate,
        explain,
        list_caches,
        list_models,
        list_probes,
        list_tasks,
        plot,
        probe,
        report,
    )
    from .explaining.findings import verdict
    from .models import open_model
    from .models.packaged import import_model
    from .models.unembedding import open_unembedding
    from .reports.writing import write_report
    from .results import draw_figures, write_tables
    from .settings import load_study
    from .study.journal import standing
    from .study.plan import plan_study
    from .study.run import run_study
    from .study.stages import Study
    from .tasks import Asking, few_shot_prompts, load_task, question_pairs
    from .tasks.check import check_task
    from .training import PRESETS, Recipe, train

_HOMES = {
    "activations.cache": ("Request", "write_cache"),
    "activations.capture": ("capture",),
    "activations.export": ("export",),
    "activations.inventory": ("leftovers", "remove_leftovers"),
    "activations.merge": ("merge",),
    "activations.repair": ("repair",),
    "activations.store": ("Cache",),
    "activations.upgrade": ("upgrade",),
    "activations.verify": ("verify",),
    "analyses": ("Settings", "analyse"),
    "commands": (
        *("doctor", "evaluate", "explain", "list_caches", "list_models", "list_probes", "list_tasks"),
        *("plot", "probe", "report"),
    ),
    "explaining.findings": ("verdict",),
    "study.journal": ("standing",),
    "models": ("open_model",),
    "models.packaged": ("import_model",),
    "study.plan": ("plan_study",),
    "reports.writing": ("write_report",),
    "results": ("draw_figures", "write_tables"),
    "study.run": ("run_study",),
    "settings": ("load_study",),
    "study.stages": ("Study",),
    "tasks": ("Asking", "few_shot_prompts", "load_task", "question_pairs"),
    "tasks.check": ("check_task",),
    "training": ("PRESETS", "Recipe", "train"),
    "models.unembedding": ("open_unembedding",),
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
    "check_task",
    "doctor",
    "draw_figures",
    "evaluate",
    "explain",
    "export",
    "few_shot_prompts",
    "import_model",
    "leftovers",
    "list_caches",
    "list_models",
    "list_probes",
    "list_tasks",
    "load_study",
    "load_task",
    "merge",
    "open_model",
    "open_unembedding",
    "plan_study",
    "plot",
    "probe",
    "question_pairs",
    "remove_leftovers",
    "repair",
    "report",
    "run_study",
    "standing",
    "train",
    "upgrade",
    "verdict",
    "verify",
    "write_cache",
    "write_report",
    "write_tables",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
