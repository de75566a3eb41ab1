"""Changes to a tree leave its look alone."""

from __future__ import annotations

import pytest

from placer.emit.domain.xml_tree import add_beside, add_child, child_of, remove, remove_if_empty, serialise, xml_text
from placer.errors import InputError
from placer.read.text.xml import parse_xml

SOURCE = b"""<!-- before -->
<a x='1'>
  <b/>
  <!-- between -->
  <d y="it's"/>
</a>
"""


def test_untouched_trees_come_back_byte_by_byte() -> None:
    """What is not changed is not changed: quotes, comments and indentation."""
    source = b"<a x='1'>\n  <b y='2 &lt; 3'/>\n  <!-- c='\"' -->\n</a>\n"
    assert serialise(parse_xml(source, "a"), source) == source


def test_every_way_to_write_stays() -> None:
    """Mixed quotes, escapes that need not be, spaces in tags, foreign metadata: all come back as they were."""
    source = (
        b"<a x=\"1\" xmlns:q='urn:q'>\r\n  <b  y = 'it&apos;s'\tz=\"&#x41;&quot;\"  />\n  it&apos;s &gt; 3 &#65;\n"
        b"  <metadata><q:c d='1' e=\"'\"/><![CDATA[ <b> & ]]></metadata>\n</a>\n"
    )
    assert serialise(parse_xml(source, "a"), source) == source


def test_what_is_new_is_written_as_libvirt_writes_it() -> None:
    """New tags have single quotes, whatever the others have."""
    source = b'<a x="1">\n  <b/>\n</a>\n'
    root = parse_xml(source, "a")
    root[0].set("y", 'it\'s "so" < 3')
    assert serialise(root, source) == b'<a x="1">\n  <b y=\'it&apos;s "so" &lt; 3\'/>\n</a>\n'


def test_another_encoding_becomes_utf8_throughout() -> None:
    """Originals in another encoding are not copied."""
    source = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<a x=\"\xe9\">\xe9</a>".encode("latin-1")
    expected = "<?xml version='1.0' encoding='UTF-8'?>\n<a x='é'>é</a>\n"
    assert serialise(parse_xml(source, "a"), source).decode() == expected


def test_the_declaration_stays() -> None:
    """A file with an XML declaration keeps one, in UTF-8."""
    source = "<?xml version='1.0' encoding='ISO-8859-1'?>\n<a>\xe9</a>".encode("latin-1")
    assert serialise(parse_xml(source, "a"), source) == "<?xml version='1.0' encoding='UTF-8'?>\n<a>é</a>\n".encode()


def test_new_children_stand_in_order_and_in_line() -> None:
    """A child goes behind what the order puts before it, indented like its neighbours."""
    root = parse_xml(SOURCE, "a")
    inner = child_of(root, "c", ("b", "c", "d"))
    add_child(inner, "e")
    add_child(root, "f", ("b", "c", "d", "f"))
    assert serialise(root, SOURCE).decode() == (
        "<!-- before -->\n<a x='1'>\n  <b/>\n  <c>\n    <e/>\n  </c>\n"
        '  <!-- between -->\n  <d y="it\'s"/>\n  <f/>\n</a>\n'
    )


def test_compact_xml_stays_compact() -> None:
    """Where there is no white space none is put in."""
    root = parse_xml(b"<a><b/><d/></a>", "a")
    child_of(root, "c", ("b", "c", "d"))
    assert serialise(root, None) == b"<a><b/><c/><d/></a>\n"


def test_a_child_that_is_there_is_taken() -> None:
    """child_of makes nothing that is there already."""
    root = parse_xml(SOURCE, "a")
    assert child_of(root, "d", ()).get("y") == "it's"


def test_adding_and_removing_leaves_nothing_behind() -> None:
    """First, middle, last and only children can be added and taken out again without a trace."""
    source = b"<a x='1'>\n  <b/>\n  <c/>\n</a>\n"
    for order in (("z", "b", "c"), ("b", "z", "c"), ("b", "c", "z")):
        root = parse_xml(source, "a")
        remove(add_child(root, "z", order))
        assert serialise(root, source) == source
    lone = parse_xml(b"<a x='1'><b/></a>", "a")
    remove(lone[0])
    assert serialise(lone, None) == b"<a x='1'/>\n"


def test_neighbours_are_indented_alike() -> None:
    """An element beside another, at either end or between, leaves the lines as they are."""
    source = b"<a x='1'>\n  <b/>\n  <c/>\n</a>\n"
    root = parse_xml(source, "a")
    add_beside(root[0], "y", before=True)
    add_beside(root[1], "m")
    add_beside(root[-1], "z")
    assert serialise(root, source) == b"<a x='1'>\n  <y/>\n  <b/>\n  <m/>\n  <c/>\n  <z/>\n</a>\n"


def test_the_root_tag_stays_as_written() -> None:
    """Namespaces stay where the source has them among the root's attributes."""
    source = b"<?xml version='1.0' encoding='UTF-8'?>\n<!-- <a> -->\n<a x='1' xmlns:q='urn:q'>\n  <q:b/>\n</a>\n"
    assert serialise(parse_xml(source, "a"), source) == source


def test_only_the_empty_is_removed() -> None:
    """An element with a comment, an attribute or text is not empty."""
    root = parse_xml(b"<a><b><!-- c --></b><d e='1'/><f>g</f><h> </h></a>", "a")
    for child in list(root):
        remove_if_empty(child)
    remove_if_empty(None)
    assert [child.tag for child in root] == ["b", "d", "f"]


def test_text_that_xml_cannot_hold_is_refused() -> None:
    """Control characters have no form in XML; quotes and signs have."""
    assert xml_text("a <&>\"' é\U0001f600") == "a <&>\"' é\U0001f600"
    for text in ("a\x00", "\x1b[31m", "\ud800", "\uffff"):
        with pytest.raises(InputError, match="rename"):
            xml_text(text)
