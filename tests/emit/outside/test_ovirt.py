"""What is sent to oVirt's API, read and written again by its own client: nothing of it gets lost."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from placer.emit.export import export_plan
from tests.emit.drained import grown, planned
from tests.emit.stand_ins import CURL, run

pytestmark = pytest.mark.platforms


def element(name: str, value: Any) -> etree._Element:
    """Return the XML form of a JSON document of the API: a list is as many elements of one name."""
    made = etree.Element(name)
    if not isinstance(value, dict):
        made.text = str(value)
        return made
    for key, part in value.items():
        made.extend(element(key, one) for one in (part if isinstance(part, list) else [part]))
    return made


def leaves(tree: etree._Element, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield path and text of all that has one; the client keeps ids and names where the API has them."""
    yield from ((f"{path}/@{key}", str(text)) for key, text in tree.attrib.items())
    if len(tree) == 0 and tree.text:
        yield path, str(tree.text)
    for part in tree:
        yield from leaves(part, f"{path}/{part.tag}")


def through_the_client(kind: str, tree: etree._Element) -> etree._Element:
    """Return what the client's reader and writer of a kind make of a document."""
    sdk = pytest.importorskip("ovirtsdk4", reason="no ovirtsdk4 here: make platforms")
    from ovirtsdk4 import readers, writers, xml

    reader = xml.XmlReader(io.BytesIO(etree.tostring(tree)))
    read = getattr(readers, f"{kind}Reader").read_one(reader)
    assert sdk is not None and read is not None
    writer = xml.XmlWriter(None, False)
    getattr(writers, f"{kind}Writer").write_one(read, writer, tree.tag)
    return etree.fromstring(writer.string())


@pytest.mark.parametrize("make", [planned, grown])
def test_bodies(make: Callable[[str], Any], tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Pins, pins of guest nodes, and the host of a migration or a start."""
    tool("bin/openstack")
    script = "export OVIRT_URL=http://engine/api\n" + str(export_plan(*make("{}"), "ovirt", None))
    for words in (("--apply",), ("--undo", "--apply")):
        code, _, said, log = run(script, tmp_path, *words, tools={"curl": CURL, "sleep": "exit 0\n"})
        assert code == 0, said
    sent = [line.split(" ", 2) for line in log.splitlines()]
    assert {path.rsplit("/", 1)[-1] for verb, path, _ in sent if verb == "POST"} >= {"migrate"}
    for verb, path, body in sent:
        kind, name = ("Action", "action") if verb == "POST" else ("Vm", "vm")
        if "/numanodes/" in path:
            kind, name = "VirtualNumaNode", "vm_numa_node"
        tree = element(name, json.loads(body))
        assert sorted(leaves(through_the_client(kind, tree))) == sorted(leaves(tree)), (verb, path, body)


def test_a_field_that_is_none_is_seen(tool: Callable[[str], Path]) -> None:
    """A name that the API has not gets lost on the way."""
    tool("bin/openstack")
    tree = element("vm", {"cpu": {"cpu_tune": {"vcpu_pins": {"vcpu_pin": [{"vcpu": "0", "cpus": "1"}]}}}})
    assert list(leaves(through_the_client("Vm", tree))) != list(leaves(tree))
