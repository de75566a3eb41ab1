"""Lines that make new VMs where they fit, for Proxmox VE and OpenStack."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from placer.cli.app import main

FLEET = """\
schema: placer.inventory/v1
hosts:
  - name: n1
    nodes: [{id: 0, cpus: "0-7", memory: 16GiB, pages: {2MiB: 4096}}, {id: 1, cpus: "8-15", memory: 16GiB}]
vms:
  - {name: db, vcpus: 2, memory: 2GiB, cells: none, page_size: 2MiB, labels: {flavor: m4}, host: n1, nodes: [0],
     pins: {0: "0", 1: "1"}}
"""


def asked(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Return the commands that fit prints on a terminal, which are those of its JSON too."""
    (folder / "fleet.yaml").write_text(FLEET)
    command = ["fit", str(folder / "fleet.yaml"), "--time-limit", "60", *words]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["result"]["commands"]
    assert main(command) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("fit, on n1.") and shown[1:] == told
    return [line for line in told if not line.startswith("#")]


def test_proxmox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each guest cell is bound to the node it fits on, its threads to the CPUs; a guest like another has its pages."""
    both = asked(tmp_path, capsys, "--to", "proxmox", "--flavor", "4x4GiB/2", "--like", "db")
    cells, like = (shlex.split(line)[3:] for line in both)
    given = dict(zip(cells[::2], cells[1::2], strict=True))
    assert (given["--cores"], given["--memory"], given["--numa"]) == ("4", "4096", "1")
    nodes = {re.sub(r".*hostnodes=(\d),.*", r"\1", given[f"--numa{number}"]) for number in (0, 1)}
    assert nodes == {"0", "1"} and given["--numa0"].endswith("memory=2048,policy=bind")
    assert like[-2:] == ["--hugepages", "2"] and re.fullmatch("[A-Za-z0-9-]+", like[1])


def test_openstack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A flavor is made once for VMs of a size, none for one whose flavor is known; each server has its host."""
    lines = asked(tmp_path, capsys, "--to", "openstack", "--flavor", "2x1GiB", "--count", "2", "--like", "db")
    made = [shlex.split(line) for line in lines]
    assert [words[1:3] for words in made].count(["flavor", "create"]) == 1
    servers = [words for words in made if "server" in words]
    assert {words[words.index("--host") + 1] for words in servers} == {"n1"} and len(servers) == 4
    assert {words[words.index("--flavor") + 1] for words in servers} == {"2x1GiB", "m4"}


def test_another_platform_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Which there are is said."""
    (tmp_path / "fleet.yaml").write_text(FLEET)
    assert main(["fit", str(tmp_path / "fleet.yaml"), "--flavor", "1x1GiB", "--to", "xen"]) == 2
    assert "proxmox, openstack" in capsys.readouterr().err
