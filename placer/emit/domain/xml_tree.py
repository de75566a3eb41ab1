"""Small changes to an XML tree that leave its look alone: indentation, comments, foreign namespaces, quotes."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from placer.errors import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

_TOKEN = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<(?:[^>\"']|\"[^\"]*\"|'[^']*')*>|[^<]+", re.DOTALL)
_ATTRIBUTE = re.compile(rb"""([^\s=<>"'/]+)\s*=\s*("[^"]*"|'[^']*')""")
_REFERENCE = re.compile(rb"&(#[0-9]{1,7}|#x[0-9a-fA-F]{1,6}|lt|gt|amp|quot|apos);")
_ENTITIES = {b"lt": b"<", b"gt": b">", b"amp": b"&", b"quot": b'"', b"apos": b"'"}
_DECLARATION = re.compile(rb"\s*<\?xml\s[^>]*?\?>")
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_SHORT = 256
_INDENT = "  "


def xml_text(text: str) -> str:
    """Return text that XML can hold.

    Raises
    ------
    InputError
        It holds a control character; no XML can say it, and libvirt allows none in a name.
    """
    if _NOT_XML.search(text):
        raise InputError(f"{text!r} holds a character that XML cannot hold", cure="rename the VM")
    return text


def child_of(parent: _Element, tag: str, order: Sequence[str]) -> _Element:
    """Return the first child of this tag; where there is none, a new one at its place in `order`."""
    found = parent.find(tag)
    return add_child(parent, tag, order) if found is None else found


def add_child(parent: _Element, tag: str, order: Sequence[str] = ()) -> _Element:
    """Add a child behind all that `order` puts before it or beside it; without an order, at the end."""
    from lxml import etree

    rank = {name: number for number, name in enumerate(order)}
    at = 0 if tag in rank else len(parent)
    for number, child in enumerate(parent):
        if tag in rank and rank.get(str(child.tag), len(rank)) <= rank[tag]:
            at = number + 1
    new = etree.Element(tag)
    outer = _indent_of(parent)
    compact = len(parent) > 0 and not _is_space(parent.text)
    inner = None if compact else _inner_indent(parent, outer)
    if len(parent) == 0:
        parent.text = inner
        new.tail = outer
    elif at == len(parent):
        last = parent[-1]
        new.tail, last.tail = last.tail, inner
    else:
        new.tail = inner
    parent.insert(at, new)
    return new


def add_beside(neighbour: _Element, tag: str, *, before: bool = False) -> _Element:
    """Add an element right behind another, or right before it, indented alike."""
    from lxml import etree

    parent = neighbour.getparent()
    assert parent is not None, "the root has no siblings"
    new = etree.Element(tag)
    previous = neighbour.getprevious()
    indent = parent.text if previous is None else previous.tail
    if before:
        new.tail = indent
        parent.insert(parent.index(neighbour), new)
    else:
        new.tail, neighbour.tail = neighbour.tail, indent
        parent.insert(parent.index(neighbour) + 1, new)
    return new


def remove(element: _Element) -> None:
    """Take an element out, with the white space before it; what follows it keeps its place."""
    parent = element.getparent()
    if parent is None:
        return
    before = element.getprevious()
    if before is not None:
        before.tail = element.tail
    else:
        parent.text = element.tail
    element.tail = None
    parent.remove(element)
    if len(parent) == 0 and _is_space(parent.text):
        parent.text = None


def remove_if_empty(element: _Element | None) -> None:
    """Take an element out that has neither children (comments count) nor text nor attributes."""
    if element is not None and len(element) == 0 and not element.attrib and not (element.text or "").strip():
        remove(element)


def serialise(root: _Element, source: bytes | None) -> bytes:
    """Return the document as bytes; every tag and text that was not changed is written as `source` has it.

    lxml has one way to write quotes, escapes and the order of namespaces, which is not libvirt's: left so, every line
    of a diff would differ. What is new is written as libvirt writes it, in single quotes.
    """
    from lxml import etree

    around = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    body = b"\n".join(etree.tostring(node, encoding="utf-8", with_tail=False) for node in around)
    originals = {} if source is None else _originals(root, source)
    body = _TOKEN.sub(lambda token: _next_original(originals, token[0]) or _as_libvirt(token[0]), body)
    if source is not None and _DECLARATION.match(source.removeprefix(b"\xef\xbb\xbf")):
        body = b"<?xml version='1.0' encoding='UTF-8'?>\n" + body
    return body + b"\n"


def _originals(root: _Element, source: bytes) -> dict[object, deque[bytes]]:
    """Return how the source writes each tag and text, by what it means, in the order of the file."""
    if (root.getroottree().docinfo.encoding or "UTF-8").upper() not in ("UTF-8", "ASCII", "US-ASCII"):
        return {}
    originals: dict[object, deque[bytes]] = {}
    for token in _TOKEN.finditer(source):
        originals.setdefault(_meaning(token[0]), deque()).append(token[0])
    return originals


def _next_original(originals: dict[object, deque[bytes]], token: bytes) -> bytes | None:
    """Return the next way the source writes this, the last of them again and again."""
    ways = originals.get(_meaning(token)) if originals else None
    if ways is None:
        return None
    return ways.popleft() if len(ways) > 1 else ways[0]


def _meaning(token: bytes) -> object:
    """Return what a parser makes of a tag (name, attributes in any order, whether it is closed) or of a text."""
    return _short_meaning(token) if len(token) <= _SHORT else _any_meaning(token)


@lru_cache(maxsize=8192)
def _short_meaning(token: bytes) -> object:
    """Remember what short tokens mean: the same tags come again in every domain."""
    return _any_meaning(token)


def _any_meaning(token: bytes) -> object:
    if token.startswith((b"<!", b"<?")):
        return token
    if not token.startswith(b"<"):
        return _unescape(token)
    attributes = frozenset((match[1], _unescape(match[2][1:-1])) for match in _ATTRIBUTE.finditer(token))
    name = re.match(rb"</?[^\s/>]+", token)
    return (name and name[0], attributes, token.endswith(b"/>"))


def _unescape(text: bytes) -> bytes:
    plain = _REFERENCE.sub(lambda match: _ENTITIES.get(match[1]) or _character(match[1]), text)
    return plain.replace(b"\r\n", b"\n")


def _character(reference: bytes) -> bytes:
    digits = reference[1:].decode()
    number = int(digits[1:], 16) if digits.startswith("x") else int(digits)
    return chr(number).encode("utf-8", "surrogatepass")


def _as_libvirt(token: bytes) -> bytes:
    """Return a tag with its attributes in single quotes."""
    return _short_as_libvirt(token) if len(token) <= _SHORT else _any_as_libvirt(token)


@lru_cache(maxsize=8192)
def _short_as_libvirt(token: bytes) -> bytes:
    """Remember how short tags are written: the same come again in every domain."""
    return _any_as_libvirt(token)


def _any_as_libvirt(token: bytes) -> bytes:
    if not token.startswith(b"<") or token.startswith((b"<!", b"<?")):
        return token
    return _ATTRIBUTE.sub(lambda match: match[1] + b"=" + _single_quoted(match[2][1:-1]), token)


def _single_quoted(value: bytes) -> bytes:
    return b"'" + value.replace(b"'", b"&apos;").replace(b"&quot;", b'"') + b"'"


def _is_space(text: str | None) -> bool:
    return bool(text) and not (text or "").strip()


def _indent_of(element: _Element) -> str:
    """Return the white space that stands before an element's own tag, from its line's beginning."""
    depth = sum(1 for _ in element.iterancestors())
    before = element.getprevious()
    parent = element.getparent()
    text = before.tail if before is not None else None if parent is None else parent.text
    if text is not None and "\n" in text and not text.strip():
        return "\n" + text.rpartition("\n")[2]
    return "\n" + _INDENT * depth


def _inner_indent(parent: _Element, outer: str) -> str:
    if len(parent) and parent.text is not None and "\n" in parent.text:
        return "\n" + parent.text.rpartition("\n")[2]
    return outer + _INDENT
