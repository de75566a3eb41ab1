"""The restricted YAML and JSON loader: text only, lines kept, and a fast path that agrees with the full parser."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placer.errors import InputError
from placer.read.text.json_lines import load_json_lines
from placer.read.text.located import FaultLog, LineList, LineMap, field_path, freeze, locate
from placer.read.text.yaml_events import load_yaml_lines
from placer.read.text.yaml_lines import decode, load_lines
from placer.read.text.yaml_plain import load_plain_lines


def full(text: str) -> Any:
    """Read by the full parser; the text must be sound."""
    log = FaultLog("f")
    tree = load_yaml_lines(text, log)
    assert not log.faults
    return tree


def lines_of(tree: Any) -> Any:
    """Return the tree with the line of every key and item, as far as it has lines of its own."""
    if isinstance(tree, LineMap):
        return {key: (tree.lines and tree.lines[key], lines_of(value)) for key, value in tree.items()}
    if isinstance(tree, LineList):
        return [(tree.lines and tree.lines[n], lines_of(value)) for n, value in enumerate(tree)]
    return None


@pytest.mark.parametrize("text", ["010", "12:30", "no", "1e3", "0x1f", "2024-01-01", "1_000", ".inf", "true", "-0"])
def test_scalars_stay_text(text: str) -> None:
    """What YAML 1.1 would turn into something else is the text that stands there."""
    assert full(f"a: {text}") == {"a": text}
    assert load_plain_lines(f"a: {text}") in ({"a": text}, None)


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_nulls_are_none_unless_quoted(text: str) -> None:
    """The spellings of null are None; in quotes they are text."""
    assert full(f"a: {text}") == {"a": None}
    assert full(f"a: '{text}'") == {"a": text}


def test_lines_are_those_of_keys_and_items() -> None:
    """Every key and item has its line, inside flow collections too."""
    tree = full("a: 1\nb:\n  - c: 2\n    d: {e: 3,\n      f: 4}\n")
    assert locate(tree, ("b", 0, "d", "f")) == (5, ["b", 0, "d", "f"])
    assert locate(tree, ("b", 0, "c")) == (3, ["b", 0, "c"])
    assert locate(tree, ("b", 0, "none")) == (3, ["b", 0, "none"])
    assert locate(tree, ("b", "list[x]", 0, "c"))[1] == ["b", 0, "c"]


def test_field_paths_read_like_paths() -> None:
    """List positions stand in brackets, keys after a dot."""
    assert field_path("hosts[a]", ("nodes", 0, "memory")) == "hosts[a].nodes[0].memory"
    assert field_path("", ("schema",)) == "schema"


PLAIN_TEXT = """# a fleet
schema: placer.inventory/v1

hosts:
- name: a b # said
  nodes:
    - {id: 0, cpus: "0-3"}
    - {id: 1}
  labels:
    rack: r1
  empty:
vms:
  - name: 'it''s'
    vcpus: 4
    tail: x
  -  name: odd
"""


def test_the_fast_path_agrees_with_the_full_parser() -> None:
    """On plain text both give the same tree on the same lines."""
    text = PLAIN_TEXT.replace("  -  name: odd\n", "")
    quick = load_plain_lines(text)
    assert quick is None or quick == full(text)
    text = text.replace("name: a b # said", "name: a")
    quick = load_plain_lines(text)
    assert quick is not None and quick == full(text)
    for path in (("hosts", 0, "nodes", 1, "id"), ("vms", 0, "tail"), ("hosts", 0, "labels", "rack")):
        assert locate(quick, path) == locate(full(text), path)


LINES = st.lists(
    st.builds(
        lambda blanks, dash, key, value: " " * blanks + dash + key + value,
        st.integers(0, 6),
        st.sampled_from(["", "- ", "-", "# "]),
        st.sampled_from(["a:", "b:", "c:", "", "null:", '"q":', "a", "? "]),
        st.sampled_from(
            [
                "",
                " 1",
                " x y",
                " {a: 1}",
                " [1, b: 2]",
                " [",
                " 'a",
                ' "b"',
                " &a 1",
                " *a",
                " !t 1",
                " |",
                " >",
                " - 1",
                " a: 1",
                " #",
                " x #y",
                " ~",
                " -",
                " 'a': 1",
                " {a: 1} x",
                "  2 ",
                " @",
                " %",
                " a:",
                "\t3",
                " [a]: 1",
                " '' ",
            ]
        ),
    ),
    max_size=7,
)


@given(LINES)
def test_the_fast_path_never_reads_what_the_full_parser_reads_otherwise(lines: list[str]) -> None:
    """On any mixture of odd lines the fast path steps aside or gives the full parser's tree and lines."""
    text = "\n".join(lines)
    quick = load_plain_lines(text)
    if quick is None:
        return
    log = FaultLog("f")
    try:
        tree = load_yaml_lines(text, log)
    except InputError:
        pytest.fail(f"{text!r} is no YAML, the fast path gave {quick!r}")
    assert not log.faults and quick == tree
    for key, value in tree.items():
        assert quick.lines is not None and quick.lines[key] == tree.lines[key]
        for inner in value if isinstance(value, dict) else ():
            assert locate(quick, (key, inner))[0] == locate(tree, (key, inner))[0]


VALUES = st.recursive(
    st.none() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4), st.sampled_from([None, 0, 2]), st.booleans())
def test_json_gives_back_what_was_written(value: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    """Any JSON of texts and nulls is read back, escapes and pairs of surrogates included."""
    log = FaultLog("f")
    assert load_json_lines(json.dumps(value, indent=indent, ensure_ascii=ascii_only), log) == value
    assert not log.faults


def test_json_keeps_numbers_and_booleans_as_text() -> None:
    """A number in JSON is checked by the schema like one in YAML."""
    assert load_json_lines('{"a": 010}', FaultLog("f")) is None
    assert load_json_lines('{"a": [1, -2.5e3, true, false, null]}', FaultLog("f")) == {
        "a": ["1", "-2.5e3", "true", "false", None]
    }


def test_json_lines_and_duplicate_keys() -> None:
    """Keys have their lines; one that stands twice is a fault that names the first."""
    log = FaultLog("f")
    tree = load_json_lines('{\n "a": {"b": 1,\n  "c": 2},\n "a": 3\n}', log)
    assert locate(tree, ("a", "c"))[0] == 3
    assert [(fault.line, fault.message) for fault in log.faults] == [(4, "key 'a' is here twice, first on line 2")]


def test_yaml_in_flow_style_is_not_taken_for_json() -> None:
    """A document in braces without quotes is YAML."""
    assert load_lines("{a: b}", FaultLog("f")) == {"a": "b"}


@pytest.mark.parametrize("text", ["[" * 50 + "]" * 50, '{"a":' * 50 + "1" + "}" * 50, "- " * 50 + "a"])
def test_deep_nesting_is_refused(text: str) -> None:
    """No real document is 20 levels deep."""
    with pytest.raises(InputError, match="levels deep"):
        load_lines(text, FaultLog("f"))


def test_a_second_document_is_a_fault() -> None:
    """Only the first document would count; that must not pass in silence."""
    log = FaultLog("f")
    assert load_lines("a: 1\n---\nb: 2\n", log) == {"a": "1"}
    assert [fault.line for fault in log.faults] == [2]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    """Editors on other systems put it there."""
    assert decode(b"\xef\xbb\xbfa: 1", "f") == "a: 1"


def test_control_characters_have_a_line() -> None:
    """The message says where the text stops being text."""
    with pytest.raises(InputError, match=r"f:3: .*0x07"):
        decode(b"a: 1\nb: 2\nc: \x07", "f")


@given(VALUES, VALUES)
def test_equal_trees_freeze_to_equal_keys_and_no_others(one: Any, other: Any) -> None:
    """The key under which entries share what was built of them tells them apart exactly."""
    assert (freeze(one) == freeze(other)) is (json.dumps(one) == json.dumps(other))
