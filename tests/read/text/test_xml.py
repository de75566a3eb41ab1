"""The XML door: what is no plain XML is refused in one line, and soon."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.read.text.xml import elements, line_of, parse_xml
from tests.effort import no_more_than

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE domain [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<domain>&b;</domain>"""


def test_keeps_comments_namespaces_and_lines() -> None:
    """Comments, foreign namespaces and line numbers come through."""
    root = parse_xml(b"<a xmlns:q='urn:q'><!-- c -->\n<q:b/>\n<c/></a>", "a.xml")
    assert len(root) == 3
    assert [element.tag for element in elements(root)] == ["{urn:q}b", "c"]
    assert line_of(root[2]) == 3


def test_takes_a_byte_order_mark_and_a_prolog() -> None:
    """A BOM, a declaration, comments and instructions may stand before the root, even one that talks of a DOCTYPE."""
    assert parse_xml(b"\xef\xbb\xbf<?xml version='1.0'?> <!-- <!DOCTYPE x> --> <?pi?><a/>", "a.xml").tag == "a"


@pytest.mark.parametrize("declaration", ["", "<?xml version='1.0' encoding='UTF-16'?>\n"])
def test_takes_what_powershell_writes(declaration: str) -> None:
    """XML in UTF-16 with its mark is read, whatever its declaration says."""
    root = parse_xml(f"{declaration}<a b='ä'/>".encode("utf-16"), "a.xml")
    assert root.get("b") == "ä"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"<!-- only this -->", "no element"),
        (b"<!-- open", "never closed"),
        (b"<a><b></a>", "not well-formed"),
        (b"plain text", "UTF-8"),
        ("<a/>".encode("utf-16-be"), "UTF-8"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>".encode("utf-16"), "DOCTYPE"),
        (b"<a>\0</a>", "not well-formed"),
        (b"<a>&nbsp;</a>", "not well-formed"),
        (BOMB, "DOCTYPE"),
        (b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "DOCTYPE"),
        (b"<?xml version='1.0' encoding='UTF-7'?><a/>+ADw-", "not"),
        (b"<a>" * 5000, "depth"),
    ],
)
def test_refuses(data: bytes, message: str) -> None:
    """What is not plain XML is an InputError that names the file."""
    with pytest.raises(InputError, match=message) as caught:
        parse_xml(data, "some.xml")
    assert caught.value.faults[0].file == "some.xml"


def test_names_the_line_of_a_doctype() -> None:
    """The DOCTYPE's line stands in the message."""
    with pytest.raises(InputError) as caught:
        parse_xml(BOMB, "some.xml")
    assert caught.value.faults[0].line == 2


@pytest.mark.parametrize(
    "data",
    [b"<a " + b"x" * 10_000_000, b"<a>" + b"y" * 20_000_000, b"z" * 50_000_000, b" " * 20_000_000 + b"<!DOCTYPE a>"],
)
def test_refuses_masses_soon(data: bytes) -> None:
    """Lines of ten million characters and files of fifty megabytes are refused in seconds."""
    with no_more_than(1000), pytest.raises(InputError):
        parse_xml(data, "big.xml")
