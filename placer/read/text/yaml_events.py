"""Any YAML of the restricted kind, through PyYAML's event stream: text only, a line for every value."""

from __future__ import annotations

from typing import Any

import yaml

from placer.read.text.located import FaultLog, LineList, LineMap

MAX_DEPTH = 20
MAX_WORDS = 100_000
"""A longer list of bare words is no part of any file that placer reads."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml_lines(text: str, log: FaultLog) -> Any:
    """Read any YAML of the restricted kind through PyYAML's event stream (libyaml where PyYAML has it).

    Raises
    ------
    InputError
        As `load_lines`.
    """
    try:
        return _Reader(text, log).read()
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
        mark = getattr(error, "problem_mark", None)
        log.add(f"not YAML: {problem}", line=mark.line + 1 if mark is not None else None)
    log.raise_if_any()


class _Reader:
    """Builds the tree from events; notes what is refused and goes on, so that all faults show at once."""

    def __init__(self, text: str, log: FaultLog) -> None:
        self.loader = _LOADER(text)
        self.log = log

    def read(self) -> Any:
        next_event = self.loader.get_event
        tree: Any = None
        documents = 0
        try:
            while True:
                event = next_event()
                line = event.start_mark.line + 1
                if isinstance(event, yaml.StreamEndEvent):
                    return tree
                if isinstance(event, yaml.DocumentStartEvent):
                    documents += 1
                    if documents > 1:
                        self.log.add("a second YAML document in the file", line=line, cure="keep one")
                        return tree
                    tree = self.value(next_event(), 0)
        finally:
            self.loader.dispose()

    def value(self, event: Any, depth: int) -> Any:
        kind = type(event)
        line = event.start_mark.line + 1
        if kind is yaml.AliasEvent:
            self.log.add(
                f"alias *{event.anchor}: anchors and aliases are not taken", line=line, cure="write the value out"
            )
            return None
        if event.anchor is not None:
            self.log.add(
                f"anchor &{event.anchor}: anchors and aliases are not taken", line=line, cure="write the value out"
            )
        if event.tag is not None:
            self.log.add(f"tag {event.tag}: tags are not taken", line=line, cure="leave it out")
        if kind is yaml.ScalarEvent:
            return None if event.implicit[0] and event.value in _NULLS else event.value
        if depth >= MAX_DEPTH:
            self.log.add(f"nested more than {MAX_DEPTH} levels deep", line=line)
            self.log.raise_if_any()
        return self.mapping(line, depth) if kind is yaml.MappingStartEvent else self.sequence(line, depth)

    def mapping(self, line: int, depth: int) -> LineMap:
        next_event = self.loader.get_event
        lines: dict[str, int] = {}
        tree = LineMap(line, lines)
        while type(event := next_event()) is not yaml.MappingEndEvent:
            key_line = event.start_mark.line + 1
            key = self.value(event, depth + 1)
            value = self.value(next_event(), depth + 1)
            if not isinstance(key, str):
                self.log.add("a key must be text", line=key_line, cure="quote it if it is meant")
            elif key in tree:
                self.log.add(f"key {key!r} is here twice, first on line {lines[key]}", line=key_line, cure="keep one")
            else:
                tree[key] = value
                lines[key] = key_line
        return tree

    def sequence(self, line: int, depth: int) -> LineList:
        next_event = self.loader.get_event
        lines: list[int] = []
        tree = LineList(line, lines)
        while type(event := next_event()) is not yaml.SequenceEndEvent:
            lines.append(event.start_mark.line + 1)
            tree.append(self.value(event, depth + 1))
            if len(tree) == MAX_WORDS and not any(isinstance(item, LineMap | LineList) for item in tree):
                self.log.add(f"a list of more than {MAX_WORDS} words", line=line)
                self.log.raise_if_any()
        return tree
