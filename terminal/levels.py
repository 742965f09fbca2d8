"""How much is said. The level is that of the package's logger: ERROR is quiet, INFO is verbose."""

import logging
import os
import sys

LOGGER = logging.getLogger("babelscope")


class _ToStderr(logging.Handler):
    """To wherever stderr leads at the time: a progress bar passes on what is written while it is there."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), file=sys.stderr, flush=True)


_HANDLER = _ToStderr()


def choose_level(quiet: bool, verbose: bool) -> None:
    """For the commands of this process. Of several processes under torchrun, the first one speaks."""
    level = logging.INFO if verbose else logging.WARNING
    LOGGER.setLevel(logging.ERROR if quiet or not speaks() else level)
    LOGGER.addHandler(_HANDLER)  # once, however often it is added


def speaks() -> bool:
    return os.environ.get("RANK", "0") == "0"


def is_quiet() -> bool:
    return not (speaks() and LOGGER.isEnabledFor(logging.WARNING))


def is_verbose() -> bool:
    return speaks() and LOGGER.isEnabledFor(logging.INFO)
