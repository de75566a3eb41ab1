"""The page on apply, verify and rollback: its commands run, line by line, against libvirt's mock driver."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.libvirt.mock_host import URI, MockHost

pytestmark = pytest.mark.libvirt

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to/apply.md"
REAL = "qemu+ssh://kvm-a/system"


def test_commands_of_the_page_run(mock: MockHost, run: Callable[..., tuple[int, str, str]]) -> None:
    """None fails; a domain is pinned by the apply, and is at the end what it was."""
    mock.raw.lookupByName("test").destroy()  # it is larger than a node of its host
    mock.raw.lookupByName("test").undefine()
    mock.define("db")
    mock.define("web")
    before = mock.xml("db")
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    pinned = {}
    for words in filter(None, lines):
        assert words[0] == "placer", words
        code, out, err = run(*(word.replace(REAL, URI) for word in words[1:]))
        assert code == 0, (words, out, err)
        pinned[" ".join(words[1:])] = "<vcpupin" in mock.xml("db")
    assert not pinned["apply plan.json"] and pinned["apply plan.json --apply"] and pinned["verify plan.json"]
    assert mock.xml("db") == before
