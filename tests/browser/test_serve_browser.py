"""The explorer in a real Chromium: found, opened, judged, drained, solved and taken away, wide and narrow."""

from __future__ import annotations

import base64
import io
import json
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser

NASTY = "</script><img src=x onerror=console.error(1)>"
PLACER = Path(sys.executable).parent / "placer"
NODES = [{"id": n, "cpus": f"{8 * n}-{8 * n + 7}", "memory": "32GiB"} for n in range(2)]


def inventory() -> dict[str, Any]:
    """Return six hosts in three racks with twelve VMs, one of them far from its memory, one with a nasty name."""
    hosts = [
        {"name": f"h{n}", "labels": {"rack": f"r{n // 2}"}, "nodes": NODES, "distances": [[10, 21], [21, 10]]}
        for n in range(6)
    ]
    vms = []
    for n in range(12):
        first = 4 * (n % 2)
        vm: dict[str, Any] = {"name": NASTY if n == 7 else f"vm{n}", "vcpus": 4, "memory": "8GiB", "cells": "none"}
        pins = {str(v): str(first + v) for v in range(4)}
        vms.append({**vm, "host": f"h{n // 2}", "nodes": [0], "memory_nodes": [1 if n == 0 else 0], "pins": pins})
    rules = [{"anti_affinity": ["vm0", "vm2"], "name": "never together"}]
    return {"schema": "placer.inventory/v1", "hosts": hosts, "vms": vms, "rules": rules}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the inventory and a plan."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "fleet.yaml").write_text(json.dumps(inventory()))
    done = subprocess.run(
        [PLACER, "solve", "fleet.yaml", "-o", "plan.json", "--max-moves", "1"], cwd=folder, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """Return the address of an explorer of the plan."""
    process = subprocess.Popen(
        [PLACER, "serve", "plan.json"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def opened(page: Any, address: str, **how: Any) -> None:
    """Open the page and wait until it can be used."""
    page.open(address, **how)
    page.until("document.body?.dataset.ready === 'yes'")


def text(page: Any, selector: str) -> str:
    """Return the text of what is seen."""
    found: str = page.run(f"document.querySelector({json.dumps(selector)}).innerText")
    return found


def find(page: Any, words: str) -> None:
    """Type a name into the search, in place of what is there, and open the first VM that is found."""
    page.run("document.getElementById('find').select()")
    page.send("Input.insertText", text=words)
    page.until("document.querySelector('#vmlist button')")
    page.run("document.querySelector('#vmlist button').click()")
    page.until("!document.getElementById('opened').hidden")


def test_nothing_is_asked_of_others_and_nothing_runs(page: Any, address: str) -> None:
    """The console stays empty, every request goes to the server itself, and a name that is markup is text."""
    opened(page, address)
    find(page, "onerror")
    assert text(page, "#opened h2") == NASTY
    assert page.run("document.querySelectorAll('img').length") == 0
    page.run("document.querySelector('.close').click()")
    page.run("document.getElementById('mapbox').focus()")
    page.press("ArrowRight", 39)
    page.press("Enter", 13, "\r")
    page.until("document.querySelector('#opened .map')")
    assert page.complaints() == []
    asked = page.requests()
    assert asked and all(one.startswith(address.partition("?")[0]) for one in asked)


def test_a_host_is_drained_a_move_judged_and_the_plan_taken_away(
    page: Any, address: str, folder: Path, tmp_path: Path
) -> None:
    """From the map to a plan that `check` accepts, by what a person does."""
    opened(page, address)
    find(page, "vm0")
    page.run("document.getElementById('target').value = '1'")
    page.run("document.getElementById('target').dispatchEvent(new Event('change'))")
    said = text(page, "#verdict")
    assert said.startswith("h1: vm0") and "BLOCKED" in said and "never together" in said
    page.run("document.getElementById('target').value = '3'")
    page.run("document.getElementById('target').dispatchEvent(new Event('change'))")
    assert "WORSE, moves" in text(page, "#verdict")
    page.run("document.querySelector('.close').click()")
    page.run("document.getElementById('mapbox').focus()")
    page.press("Home", 36)
    page.press("Enter", 13, "\r")
    page.until("document.querySelector('#opened .map')")
    page.run(
        "[...document.querySelectorAll('#opened button')].find((b) => b.textContent === 'Empty this host').click()"
    )
    assert "empty hosts h0" in text(page, "#edits")
    page.run("document.getElementById('ask').requestSubmit()")
    page.until("document.getElementById('back') && document.body?.dataset.ready === 'yes'")
    assert "drain 1 host (h0)" in text(page, "#engine")
    assert "1 host can be switched off then: h0" in text(page, ".lead")
    data = page.run(
        """fetch(document.querySelector('a[download="plan.zip"]').href).then((got) => got.arrayBuffer())
          .then((all) => btoa(String.fromCharCode(...new Uint8Array(all))))"""
    )
    with zipfile.ZipFile(io.BytesIO(base64.b64decode(data))) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [PLACER, "check", "fleet-edited.yaml", "plan.json", "--bound"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0 and "every constraint holds" in done.stdout
    page.run("document.getElementById('back').click()")
    page.until("!document.getElementById('back') && document.body?.dataset.ready === 'yes'")
    assert page.complaints() == []


def test_an_edit_that_cannot_be_made_is_told_on_the_page(page: Any, address: str) -> None:
    """The fault stands where the solve was begun, and the page goes on."""
    opened(page, address)
    page.run("document.getElementById('edit').value = 'h77'")
    page.run("document.getElementById('ask').requestSubmit()")
    page.until("document.getElementById('state').className === 'bad'")
    assert "h77" in text(page, "#state")
    assert not page.run("document.getElementById('solve').disabled")


@pytest.mark.parametrize("width", [400, 1280, 1920])
@pytest.mark.parametrize("dark", [False, True])
def test_page_fits_any_window(page: Any, address: str, width: int, dark: bool, tmp_path: Path) -> None:
    """The search is in sight at once, nothing is wider than the window, cells of the map differ from the ground."""
    opened(page, address, width=width, height=900, dark=dark)
    assert page.run("document.getElementById('find').getBoundingClientRect().bottom < innerHeight")
    find(page, "vm2")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    drawn = page.run(
        """(() => {
          const canvas = document.querySelector('#mapbox canvas');
          const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          const seen = new Set();
          for (let at = 0; at < all.length; at += 4) seen.add(all[at] << 16 | all[at + 1] << 8 | all[at + 2]);
          return seen.size;
        })()"""
    )
    assert drawn > 3
    page.screenshot(tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing(page: Any, address: str, axe: str, dark: bool) -> None:
    """With a host opened, and with a VM, axe-core finds no fault, light or dark."""
    opened(page, address, dark=dark)
    page.run("document.getElementById('mapbox').focus()")
    page.press("ArrowRight", 39)
    page.press("Enter", 13, "\r")
    page.until("document.querySelector('#opened .map')")
    page.run(axe + ";0")
    look = "axe.run().then((got) => JSON.stringify(got.violations))"
    for _ in range(2):
        found = [(one["id"], [node["html"][:200] for node in one["nodes"]][:3]) for one in json.loads(page.run(look))]
        assert found == []
        page.run("document.querySelector('.close').click()")
        find(page, "vm1")


def test_a_vm_that_was_searched_for_is_judged_on_every_host(page: Any, address: str) -> None:
    """The search leaves its host alone on the map; opened, its verdicts are on all of them; closed, one is left."""
    opened(page, address)
    find(page, "vm3")
    assert text(page, "#shown") == "6 of 6 hosts"
    assert text(page, "#found") == "1 host, 1 VM"
    page.run("document.querySelector('.close').click()")
    assert text(page, "#shown") == "1 of 6 hosts"


def test_every_vm_that_a_part_of_a_name_fits_is_counted_once(page: Any, address: str) -> None:
    """Names that hold it twice, the first one and the last; a name is not read on into the next."""
    opened(page, address)
    for words, found in (
        ("m", "6 hosts, 12 VMs"),
        ("vm1", "2 hosts, 3 VMs"),
        ("vm0", "1 host, 1 VM"),
        ("0vm1", "0 hosts, 0 VMs"),
    ):
        page.run("document.getElementById('find').select()")
        page.send("Input.insertText", text=words)
        page.until(f"document.getElementById('found').textContent === {json.dumps(found)}")
