"""Our documents as JSON schemas, for editors: from the models that read them, so that they cannot differ."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from placer.read.documents import scenario_schema
from placer.read.documents.comparison_file import COMPARISON_SCHEMA, Planned, Scenario
from placer.read.documents.plan_schema import PlanData
from placer.read.documents.scenario_schema import EditEntry
from placer.read.inventory import schema as inventory_schema
from placer.read.inventory.schema import HostEntry, RuleEntry, VmEntry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
PLAN = "placer.plan/v1"
_SCALAR = {"type": ["string", "number", "boolean"]}


class _AsWritten(GenerateJsonSchema):
    """What a file may hold: values that our own validators take are texts and numbers as people write them."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> dict[str, Any]:
        """Return any scalar where one is meant, anything where lists or mappings are taken too."""
        inner = self.generate_inner(schema["schema"])
        return dict(_SCALAR) if inner.get("type") in ("string", "integer", "number", "boolean") else {}


def published_schema(document: str) -> dict[str, Any]:
    """Return the JSON schema of ``inventory``, ``plan``, ``scenario`` or ``comparison``."""
    return {"inventory": _inventory, "plan": _plan, "scenario": _scenario, "comparison": _comparison}[document]()


def _inventory() -> dict[str, Any]:
    sections = {"hosts": (list[HostEntry], True), "vms": (list[VmEntry], False), "rules": (list[RuleEntry], False)}
    return _whole(inventory_schema.SCHEMA, sections)


def _scenario() -> dict[str, Any]:
    return _whole(scenario_schema.SCHEMA, {"name": (str, False), "edits": (list[EditEntry], True)})


def _plan() -> dict[str, Any]:
    found = TypeAdapter(PlanData).json_schema()
    found["properties"]["schema"] = {"const": PLAN}
    return {"$schema": DIALECT, **found, "title": PLAN}


def _comparison() -> dict[str, Any]:
    row, planned = TypeAdapter(Scenario).json_schema(), TypeAdapter(Planned).json_schema()
    # In a file what was planned stands in the row itself, and a row without a plan has none of it.
    del row["properties"]["planned"]
    row["properties"] |= planned["properties"]
    return {
        "$schema": DIALECT,
        "title": COMPARISON_SCHEMA,
        "type": "object",
        "required": ["schema", "scenarios"],
        "properties": {
            "schema": {"const": COMPARISON_SCHEMA},
            "scenarios": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Scenario"}},
        },
        "$defs": {**planned.pop("$defs"), "Scenario": {key: row[key] for key in row if key != "$defs"}},
    }


def _whole(schema: str, sections: dict[str, tuple[Any, bool]]) -> dict[str, Any]:
    """Return the schema of a document: its name, and its sections with whether each must be there."""
    defined: dict[str, Any] = {}
    properties: dict[str, Any] = {"schema": {"const": schema}}
    for name, (kind, _) in sections.items():
        part = TypeAdapter(kind).json_schema(schema_generator=_AsWritten)
        defined.update(part.pop("$defs", {}))
        properties[name] = _any_of(part)
    return {
        "$schema": DIALECT,
        "title": schema,
        "type": "object",
        "additionalProperties": False,
        "required": ["schema", *(name for name, (_, needed) in sections.items() if needed)],
        "properties": properties,
        "$defs": _any_of(defined),
    }


def _any_of(tree: Any) -> Any:
    """Return the tree with ``oneOf`` as ``anyOf``: a value that any branch takes is right, though two may."""
    if isinstance(tree, dict):
        return {"anyOf" if key == "oneOf" else key: _any_of(value) for key, value in tree.items()}
    return [_any_of(value) for value in tree] if isinstance(tree, list) else tree
