"""Paging on a terminal, as git does it: what is longer than the screen goes through the pager, a pipe never."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

PLACER = Path(sys.executable).parent / "placer"
MARKS = "sed s/^/paged:/"


def on_a_terminal(*words: str, **variables: str) -> str:
    """Return what placer prints where both ends are a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **variables}
    with subprocess.Popen(
        [PLACER, *words], stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        os.close(theirs)
        pieces = []
        while True:
            try:
                piece = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed: Linux says so with EIO
                break
            if not piece:
                break
            pieces.append(piece)
        assert process.wait() == 0
    os.close(ours)
    return b"".join(pieces).decode().replace("\r\n", "\n")


@pytest.mark.parametrize("words", [("solvers",), ("schema", "scenario")])
def test_a_terminal_pages_tables_and_texts(words: tuple[str, ...]) -> None:
    """Every line of the answer comes through the pager that is set; a dumb terminal has none."""
    paged = on_a_terminal(*words, PAGER=MARKS).strip("\n").split("\n")
    assert len(paged) > 3 and all(line.startswith("paged:") for line in paged)
    assert "paged:" not in on_a_terminal(*words, PAGER=MARKS, TERM="dumb")


def test_json_and_pipes_are_not_paged() -> None:
    """Other programs get what there is, whatever pager is set."""
    assert "paged:" not in on_a_terminal("--json", "solvers", PAGER=MARKS)
    done = subprocess.run([PLACER, "solvers"], capture_output=True, text=True, env={**os.environ, "PAGER": MARKS})
    assert done.returncode == 0 and "paged:" not in done.stdout
