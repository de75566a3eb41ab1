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
    return printed(str(PLACER), *words, **variables)


def printed(*command: str, **variables: str) -> str:
    """Return what a command prints where both ends are a terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **variables}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
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


@pytest.mark.parametrize(("after", "paged"), [("None", True), ("lambda: print('served')", False)])
def test_what_goes_on_after_its_answer_is_not_paged(after: str, paged: bool) -> None:
    """The address of a server stands on the terminal itself: no pager keeps the server from beginning."""
    code = f"""
from placer.cli.answer import Answer
from placer.cli.terminal import Terminal
Terminal().deliver(Answer(data=dict, text="address", after={after}))
"""
    lines = printed(sys.executable, "-c", code, PAGER=MARKS).split()
    assert lines == (["paged:address"] if paged else ["address", "served"])


def test_cat_turns_paging_off() -> None:
    """PAGER=cat gives what a pipe gets, as it does with git."""
    text = on_a_terminal("schema", "scenario", PAGER="cat")
    assert text == subprocess.run([PLACER, "schema", "scenario"], capture_output=True, text=True, check=True).stdout
