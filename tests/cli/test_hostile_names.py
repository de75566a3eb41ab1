"""Names of VMs, hosts and labels that are escape sequences, markup or lines of their own: text on every screen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

ESCAPE = "v\x1b[2J\x1b]0;owned\x07"
MARKUP = "[bold red]v[/bold red] [link=http://x]"
LINES = "v\nproven: all is well\r"
BACKWARDS = "v\u202egnp\u2066\u200b"
NODES = [{"id": n, "cpus": f"{4 * n}-{4 * n + 3}", "memory": "16GiB"} for n in range(2)]
SCREENS = {
    "show plan": ("show", "plan.json"),
    "check": ("check", "fleet.json", "plan.json"),
    "check --placement": ("check", "fleet.json", "--placement"),
    "check --lint": ("check", "fleet.json", "--lint"),
    "moves": ("moves", "fleet.json", "plan.json", "--all"),
    "moves --best": ("moves", "fleet.json", "--best", "1,2", "--time-limit", "5s"),
    "moves markdown": ("moves", "fleet.json", "plan.json", "--format", "markdown"),
    "ticket": ("export", "plan.json", "--to", "markdown", "-o", "-"),
    "diff": ("diff", "fleet.json", "plan.json", "--all"),
    "explain": ("explain", "plan.json", "--time-limit", "1s"),
    "headroom": ("headroom", "fleet.json", "--by", "rack"),
    "usage": ("usage", "fleet.json"),
    "fit": ("fit", "fleet.json", "--flavor", "1x1GiB", "--count", "4", "--all"),
    "maintain": ("maintain", "fleet.json", "--all", "--time-limit", "1s"),
    "whatif": ("whatif", "fleet.json", "--grow", "10%", "--time-limit", "1s"),
    "whatif --drain-each": ("whatif", "fleet.json", "--drain-each", "host", "--time-limit", "1s"),
    "runway": ("runway", "fleet.json", "--growth", "50%", "--time-limit", "1s", "--workers", "1"),
    "pareto": ("pareto", "fleet.json", "--moves", "0,2", "--time-limit", "1s", "--workers", "1"),
}


@pytest.fixture
def folder(tmp_path: Path, placer: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a live fleet of hostile names and its plan; it is the current one."""
    names = [ESCAPE, MARKUP, LINES, BACKWARDS]
    hosts = [
        {"name": f"h{n}-{name}", "labels": {"rack": name}, "nodes": NODES, "distances": [[10, 21], [21, 10]]}
        for n, name in enumerate(names)
    ]
    vms = [
        {
            "name": name,
            "vcpus": 2,
            "memory": "4GiB",
            "cells": "none",
            "host": hosts[n]["name"],
            "nodes": [0],
            "memory_nodes": [1],
            "pins": {"0": "0", "1": "1"},
            "usage": {"cpu_p95": 0.01},
        }
        for n, name in enumerate(names)
    ]
    rules = [{"anti_affinity": [ESCAPE, MARKUP], "name": LINES}]
    fleet = {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms, "rules": rules}
    (tmp_path / "fleet.json").write_text(json.dumps(fleet))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    done = placer("solve", "fleet.json", "-o", "plan.json", "--time-limit", "2s")
    assert done.code == 0, done.err
    told(done.out + done.err)
    return tmp_path


def told(text: str) -> None:
    """Assert that nothing in a text steers a terminal, begins a line of its own or is written backwards."""
    assert not {char for char in text if char in "\x1b\x07\r\u202e\u2066\u200b"}
    assert not [line for line in text.splitlines() if line.lstrip(" |-#☐").startswith("proven: all")]


@pytest.mark.parametrize("screen", SCREENS)
def test_no_name_leaves_its_place(screen: str, folder: Path, placer: Callable[..., Run]) -> None:
    """Names come escaped on every screen, and what looks like markup of colours is there letter by letter."""
    assert folder
    done = placer(*SCREENS[screen])
    assert done.code in (0, 5, 6, 8), done.err
    told(done.out + done.err)
    text = (done.out + done.err).replace("\\[", "[").replace("\\]", "]")
    assert "bold red" not in text or MARKUP.partition(" [link")[0] in text
