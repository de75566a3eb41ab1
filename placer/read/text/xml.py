"""The one way into XML: untrusted bytes become a tree, or one error that says where and why not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, cast

from placer.errors import InputError
from placer.read.text.text import as_utf_8

if TYPE_CHECKING:
    from lxml.etree import XMLParser, _Element

MAX_XML_BYTES = 32 * 1024 * 1024
"""Larger files are refused unread; the XML of the largest machines known has a tenth of it."""
MAX_XML_TAGS = 500_000
"""More ``<`` than this are refused unparsed: every element costs some hundred bytes of memory."""
MAX_XML_ATTRIBUTES = 2_000_000
"""The same for ``=``, of which every attribute has one."""

_BOM = b"\xef\xbb\xbf"
_SHOWN = 120
_ENCODING = re.compile(rb"""^(<\?xml\b[^>]*?)\s+encoding=(?:"[^"]*"|'[^']*')""")
_NOT_SPACE = re.compile(rb"\S")


def parse_xml(data: bytes, source: str, *, doctype: bytes | None = None) -> _Element:
    """Return the root element of untrusted XML, comments and foreign namespaces kept.

    Entities are never resolved, nothing is fetched, and a DOCTYPE is refused before the parser sees it. The one that
    hwloc writes on top of every file is let through where the caller names it: it declares nothing by itself, and the
    DTD that it refers to is not loaded.

    Parameters
    ----------
    data
        The bytes of the file.
    source
        The name of the file in messages.
    doctype
        A regular expression for the one DOCTYPE without an internal subset that is no fault.

    Raises
    ------
    InputError
        Empty, too large, not XML, neither in an ASCII-compatible encoding nor in UTF-16 with its mark, or with a
        DOCTYPE.
    """
    from lxml import etree

    if not data.strip():
        raise InputError("the file is empty", file=source)
    if len(data) <= MAX_XML_BYTES and (text := as_utf_8(data)) is not data:
        data = _ENCODING.sub(rb"\1", text, count=1)
    if len(data) > MAX_XML_BYTES:
        raise InputError(f"the XML has {len(data)} bytes, more than {MAX_XML_BYTES}", file=source)
    if data.count(b"<") > MAX_XML_TAGS or data.count(b"=") > MAX_XML_ATTRIBUTES:
        raise InputError(
            f"the XML has more than {MAX_XML_TAGS} tags or {MAX_XML_ATTRIBUTES} attributes: no machine needs that many",
            file=source,
        )
    data = _refuse_doctype(data, source, doctype)
    try:
        root = etree.fromstring(data, _parser())
    except etree.XMLSyntaxError as error:
        reason = (error.msg or "not well-formed").splitlines()[0][:_SHOWN]
        raise InputError(f"this is not well-formed XML: {reason}", file=source, line=error.lineno or None) from None
    except (ValueError, LookupError) as error:
        raise InputError(f"this is not XML: {str(error)[:_SHOWN]}", file=source) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise _doctype(source, None)
    return root


@cache
def _parser() -> XMLParser:
    """Return the one parser: to make it takes as long as to read a small file."""
    from lxml import etree

    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        strip_cdata=False,
    )


def elements(parent: _Element) -> Iterator[_Element]:
    """Return the children that are elements: neither comments nor processing instructions nor entities."""
    return (child for child in parent if isinstance(child.tag, str))


def line_of(element: _Element) -> int | None:
    """Return the line an element begins on; None where it was not read from a file."""
    return cast("int | None", element.sourceline)


def _refuse_doctype(data: bytes, source: str, known: bytes | None) -> bytes:
    """Walk the prolog up to the root element; what stands in it may be white space, comments and instructions.

    A known DOCTYPE comes back as blanks, so that the parser never sees one and line numbers stay.
    """
    at = len(_BOM) if data.startswith(_BOM) else 0
    while True:
        text = _NOT_SPACE.search(data, at)
        if text is None:
            raise InputError("the XML holds no element", file=source)
        at = text.start()
        if data[at : at + 1] != b"<":
            raise InputError(
                "this is not XML in UTF-8: it does not begin with an element",
                file=source,
                line=data.count(b"\n", 0, at) + 1,
            )
        for opening, closing in ((b"<?", b"?>"), (b"<!--", b"-->")):
            if data.startswith(opening, at):
                end = data.find(closing, at + len(opening))
                if end < 0:
                    raise InputError(
                        f"{opening.decode()} is never closed", file=source, line=data.count(b"\n", 0, at) + 1
                    )
                at = end + len(closing)
                break
        else:
            if not data.startswith(b"<!", at):
                return data
            match = re.compile(known).match(data, at) if known else None
            if match is None:
                raise _doctype(source, data.count(b"\n", 0, at) + 1)
            blank = re.sub(rb"[^\n]", b" ", match[0])
            data = data[:at] + blank + data[match.end() :]
            known = None


def _doctype(source: str, line: int | None) -> InputError:
    return InputError(
        "the XML has a DOCTYPE; placer reads none, for entities are no data",
        file=source,
        line=line,
        cure="remove the DOCTYPE",
    )
