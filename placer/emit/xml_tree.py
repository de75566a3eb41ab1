"""Small changes to an XML tree that leave its look alone: indentation, comments, foreign namespaces, quotes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from placer.errors import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

_MARKUP = re.compile(rb"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<[^!?>][^>]*>", re.DOTALL)
_ATTRIBUTE = re.compile(rb'="([^"]*)"')
_METADATA = re.compile(rb"<metadata>.*?</metadata>", re.DOTALL)
_DECLARATION = re.compile(rb"\s*<\?xml\s[^>]*?\?>")
_NOT_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
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
    """Return the document as bytes, in the quotes of `source` and with a declaration where that has one.

    lxml writes attributes in double quotes, libvirt in single ones: left so, every line of a diff would differ.
    """
    from lxml import etree

    around = [*reversed(list(root.itersiblings(preceding=True))), root, *root.itersiblings()]
    body = b"\n".join(etree.tostring(node, encoding="utf-8", with_tail=False) for node in around)
    own = _METADATA.sub(b"", source or b"")
    if own.count(b"='") >= own.count(b'="'):
        body = _single_quotes(body)
    old_tag, new_tag = _root_tag(source or b""), _root_tag(body)
    if old_tag.isascii() and old_tag:
        # The root is never changed, but lxml puts its namespaces first.
        body = body.replace(new_tag, old_tag, 1)
    if source is not None and _DECLARATION.match(source.removeprefix(b"\xef\xbb\xbf")):
        body = b"<?xml version='1.0' encoding='UTF-8'?>\n" + body
    return body + b"\n"


def _root_tag(data: bytes) -> bytes:
    tags = (match[0] for match in _MARKUP.finditer(data) if not match[0].startswith((b"<!", b"<?")))
    return next(tags, b"")


def _single_quotes(body: bytes) -> bytes:
    """Put attributes in single quotes, but those of metadata: libvirt writes that in double ones, as lxml does."""
    foreign = False

    def requoted(match: re.Match[bytes]) -> bytes:
        nonlocal foreign
        markup = match[0]
        if markup in (b"<metadata>", b"</metadata>"):
            foreign = markup == b"<metadata>"
        if foreign or markup.startswith((b"<!", b"<?")):
            return markup
        return _ATTRIBUTE.sub(lambda value: b"='" + _requote(value[1]) + b"'", markup)

    return _MARKUP.sub(requoted, body)


def _requote(value: bytes) -> bytes:
    return value.replace(b"'", b"&apos;").replace(b"&quot;", b'"')


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
