"""``--executor``: where the rounds of a search run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from placer.errors import InputError, MissingToolError

if TYPE_CHECKING:
    from concurrent.futures import Executor

CONNECT_TIMEOUT_S = 10


@contextmanager
def opened_executor(text: str | None) -> Iterator[Executor | None]:
    """Yield the executor that ``dask:tcp://host:port`` names, closed at the end; None for None.

    Raises
    ------
    InputError
        The text names no executor, or its scheduler does not answer.
    MissingToolError
        Dask is not installed.
    """
    if text is None:
        yield None
        return
    kind, _, address = text.partition(":")
    if kind != "dask" or not address:
        raise InputError(
            f"{text[:60]!r} is no executor",
            field="--executor",
            cure="write dask:tcp://SCHEDULER:8786, or use --workers",
        )
    try:
        import distributed
    except ImportError:
        raise MissingToolError(
            "Dask is not installed", field="--executor", cure="pip install 'numa-placer[dask]'"
        ) from None
    try:
        connect: Any = distributed.Client  # untyped
        client = connect(address, timeout=CONNECT_TIMEOUT_S)
    except (OSError, ValueError, TimeoutError) as error:
        raise InputError(f"no Dask scheduler answers at {address}: {str(error)[:200]}", field="--executor") from None
    _hush()
    with client:
        yield client.get_executor()


def _hush() -> None:
    """Keep Dask's own log to itself: a lost scheduler is told in one line, not in tracebacks of its client."""
    known = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in ("distributed", "tornado")]
    for name in (*known, "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
