"""Placer in a process of its own, perhaps with an accident at a point of its journal: WHEN:NUMBER[:COMMAND].

The accident is at the journal's record NUMBER (from 0): WHEN ``before`` it is written, ``torn`` in the middle of its
line, ``after`` it is on the disk. Without COMMAND placer is killed with SIGKILL; with one, that shell command runs and
placer goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from placer.cli.app import main
from placer.live.journal import Journal


def accident(when: str, number: int, command: str) -> None:
    """Wrap the writing of records."""
    write = Journal._write
    count = 0

    def strike() -> None:
        if not command:
            os.kill(os.getpid(), signal.SIGKILL)
        subprocess.run(command, shell=True, check=True, timeout=60)

    def wrapped(self: Journal, record: Mapping[str, Any]) -> None:
        nonlocal count
        here = count == number
        count += 1
        if here and when == "before":
            strike()
        if here and when == "torn":
            os.write(self._handle, b'{"record": "doi')
            strike()
        write(self, record)
        if here and when == "after":
            strike()

    Journal._write = wrapped  # type: ignore[method-assign]


def run_in_child(folder: Path, arguments: Sequence[str], kill: str | None, out: Path, err: Path) -> None:
    """Run placer in a folder, in the process that calls this, and end it: what it prints goes to two files."""
    os.chdir(folder)
    for number, path in ((0, Path(os.devnull)), (1, out), (2, err)):
        handle = os.open(path, os.O_RDWR | os.O_CREAT)
        os.dup2(handle, number)
        os.close(handle)
    if kill is not None:
        moment, position, *rest = kill.split(":", 2)
        accident(moment, int(position), rest[0] if rest else "")
    sys.exit(main(arguments))
