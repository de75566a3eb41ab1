"""``placer serve``: an address on standard output, a server on this machine alone, an end by Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PLACER = Path(sys.executable).parent / "placer"


@contextmanager
def served(*words: str | Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the first line that a server prints; it is ended in the end."""
    process = subprocess.Popen(
        [PLACER, "serve", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_it_prints_where_it_is_and_ends_by_ctrl_c(fleet_file: Path) -> None:
    """The address alone is on standard output and is answered; without its token it is not; Ctrl-C ends with 0."""
    with served(fleet_file) as (address, process):
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=30) as page:
            assert "Fleet of" in page.read().decode()
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address.partition("?")[0], timeout=30)
        assert refused.value.code == 403
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [(["-"], "served of a file"), (["{fleet}", "--fleet", "x"], "inventory itself"), (["{caps}"], "belongs here")],
)
def test_what_cannot_be_served_is_said(
    placer: Callable[..., Any], fleet_file: Path, tmp_path: Path, words: list[str], said: str
) -> None:
    """Standard input, an inventory of an inventory, and what is neither plan nor inventory."""
    caps = tmp_path / "sizes.txt"
    caps.write_text("VCPU: CPU Affinity\n----------------------\n   0: 0\n")
    done = placer("serve", *(word.format(fleet=fleet_file, caps=caps) for word in words))
    assert done.code == 2 and said in done.err


@pytest.mark.parametrize("module", ["starlette", "uvicorn"])
def test_without_its_extra_it_says_which(
    placer: Callable[..., Any], fleet_file: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    """Exit code 7 and what to install."""
    monkeypatch.setitem(sys.modules, module, None)
    done = placer("--json", "serve", fleet_file)
    assert done.code == 7 and "numa-placer[serve]" in done.err
    assert json.loads(done.out)["error"]["code"] == "missing"


def test_a_fault_of_its_own_is_no_missing_extra(
    placer: Callable[..., Any], fleet_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of placer's that cannot be imported is placer's own fault, which no extra mends."""
    monkeypatch.setitem(sys.modules, "placer.serve.app", None)
    done = placer("serve", fleet_file)
    assert done.code == 1 and "placer.serve.app" in done.err and "numa-placer[serve]" not in done.err
