"""Is a study possible? Everything that can be known without opening the model is asked before anything heavy starts."""

from ..errors import BabelscopeError, UsageError
from ..settings import Condition
from .stages import Asked, Study


def check_study(study: Study) -> None:
    """Name impossible settings.

    Raises:
        UsageError, DataError: languages, tasks, pairs, shots, words or probes that do not exist or do not fit.
    """
    for asked, condition in study.cells():
        try:
            _check_prompts(study, asked, condition)
        except BabelscopeError as error:
            raise type(error)(f"test {asked.test!r}, condition {condition.name!r}: {error}") from error
    for condition in study.conditions:
        if condition.adapter is not None:
            try:
                study.pairs(condition)
            except BabelscopeError as error:
                raise type(error)(f"adapters.{condition.group}: {error}") from error
    _check_probes(study)
    _check_translate_test(study)


def _check_prompts(study: Study, asked: Asked, condition: Condition) -> None:
    from ..tasks import answer_words, check_prefixes

    request = study.request(asked, condition)
    request.prompts()
    for code in request.languages:
        words = answer_words(request.task, code, request.asking.words)
        if asked.settings.scoring == "paper":
            check_prefixes(words, f"language {code!r}")


def _check_probes(study: Study) -> None:
    from ..activations.layout import array_name
    from ..analyses import ANALYSES
    from ..models import text_config

    settings = study.settings
    kept = {array_name(name).removeprefix("states/") for name in settings.keep}
    for name in settings.probes.names:
        if name not in ANALYSES:
            raise UsageError(f"probes.names: Unknown probe {name!r}. Known: {', '.join(ANALYSES)}.")
        if missing := set(ANALYSES[name].reads) - kept:
            raise UsageError(
                f"probes.names: {name} reads states at {' and '.join(sorted(missing))}, which `keep: {settings.keep}` "
                "does not store."
            )
    if settings.probes.layers:
        n_layers = text_config(settings.model).num_hidden_layers
        for layer in settings.probes.layers:
            if not 0 <= layer <= n_layers:
                raise UsageError(f"probes.layers: Layer {layer} was asked for; the model has layers 0 to {n_layers}.")
    if any(ANALYSES[name].pivot for name in settings.probes.names):
        _check_language(study, "probes.pivot: Pivot", settings.probes.pivot)
    parallel = [name for name in settings.probes.names if ANALYSES[name].reads]
    if parallel:
        for asked in study.asked:
            if not set.intersection(*_ids(study, asked).values()):
                raise UsageError(
                    f"test {asked.test!r}: no id is in every language, so {', '.join(parallel)} have "
                    "nothing parallel to read. Use `probes: {names: [accuracy]}`, or data with common ids."
                )


def _check_translate_test(study: Study) -> None:
    code = study.settings.translate_test
    if code is None:
        return
    _check_language(study, "translate_test:", code)
    for asked in study.asked:
        ids = _ids(study, asked)
        for other, own in ids.items():
            if missing := own - ids[code]:
                raise UsageError(
                    f"translate_test: test {asked.test!r} has {len(missing)} example(s) in {other!r} that are not in "
                    f"{code!r}, such as {min(missing)!r}: there is no translation to ask."
                )


def _ids(study: Study, asked: Asked) -> dict[str, set[str]]:
    prompts = study.request(asked, study.conditions[0]).prompts()
    return {code: {prompt.example.id for prompt in group} for code, group in prompts.items()}


def _check_language(study: Study, what: str, code: str) -> None:
    for asked in study.asked:
        languages = study.request(asked, study.conditions[0]).languages
        if code not in languages:
            raise UsageError(f"{what} {code!r} is not among the study's languages: {' '.join(languages)}.")
