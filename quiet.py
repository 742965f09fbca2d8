"""Other libraries, kept quiet and made clear."""

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import BabelscopeError, ModelError


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without the progress bars, advice and forecasts that transformers prints while it opens a model."""
    import warnings

    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


@contextmanager
def without_installing() -> Iterator[None]:
    """Without the `pip install torchvision` of TransformerLens (for vision towers), which replaces torch as well."""
    from transformer_lens.model_bridge.sources.transformers import helpers

    install = helpers._ensure_torchvision  # if it is called otherwise one day, opening fails rather than installs
    helpers._ensure_torchvision = lambda: False
    try:
        yield
    finally:
        helpers._ensure_torchvision = install


@contextmanager
def explaining(what: str, kind: type[BabelscopeError] = ModelError) -> Iterator[None]:
    """Turn whatever a library raises inside into an error of `kind` that begins with `what`."""
    try:
        yield
    except BabelscopeError:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise kind(f"{what}: {reason}") from error
