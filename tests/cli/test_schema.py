"""The published schemas: what is bundled is valid under them, what the readers refuse as unknown is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from placer.read.documents.published import published_schema

Placer = Callable[..., Any]


def fits(value: Any, schema: Any, root: dict[str, Any]) -> bool:
    """Tell whether a value is valid under the part of JSON Schema that ours use."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema:
        return fits(value, root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "anyOf" in schema and not any(fits(value, one, root) for one in schema["anyOf"]):
        return False
    if ("const" in schema and value != schema["const"]) or ("enum" in schema and value not in schema["enum"]):
        return False
    kinds = {"string": str, "number": (int, float), "integer": int, "boolean": bool, "null": type(None)}
    kinds |= {"object": dict, "array": list}
    named = schema.get("type", list(kinds))
    if not any(isinstance(value, kinds[name]) for name in ([named] if isinstance(named, str) else named)):
        return False
    if isinstance(value, list):
        return all(fits(one, schema.get("items", {}), root) for one in value)
    if isinstance(value, dict):
        known, more = schema.get("properties", {}), schema.get("additionalProperties", {})
        if not set(schema.get("required", ())) <= set(value):
            return False
        return all(
            fits(one, known[key], root) if key in known else more is not False and fits(one, more or {}, root)
            for key, one in value.items()
        )
    return True


INVENTORIES = sorted((Path(__file__).resolve().parents[2] / "data").glob("*.yaml"))


@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: path.name)
def test_bundled_inventories_fit_and_unknown_keys_do_not(path: Path) -> None:
    """Every bundled inventory is valid; with a key that no reader knows, or without its hosts, it is not."""
    schema = published_schema("inventory")
    tree = yaml.safe_load(path.read_text())
    assert fits(tree, schema, schema)
    assert not fits({**tree, "hots": []}, schema, schema)
    assert not fits({key: value for key, value in tree.items() if key != "hosts"}, schema, schema)
    tree["hosts"][0]["colour"] = "red"
    assert not fits(tree, schema, schema)


def test_a_plan_and_a_scenario_fit(placer: Placer, plan_file: Path) -> None:
    """What solve writes and what the reference shows are valid; the verb prints the same schema."""
    plan = published_schema("plan")
    assert fits(json.loads(plan_file.read_text()), plan, plan)
    scenario = published_schema("scenario")
    edits = [{"fail": {"rack": "a3"}}, {"grow": "20%"}, {"add_hosts": {"like": "h1", "count": 4}}, {"nps": 4}]
    assert fits({"schema": "placer.scenario/v1", "name": "x", "edits": edits}, scenario, scenario)
    assert not fits({"schema": "placer.scenario/v1", "edits": [{"explode": "h1"}]}, scenario, scenario)
    for name in ("inventory", "plan", "scenario", "comparison"):
        assert json.loads(placer("schema", name).out) == published_schema(name)


def test_a_comparison_fits_and_is_named_in_it(placer: Placer, tmp_path: Path) -> None:
    """What whatif writes is valid, a row without a plan too; its figures as texts are not."""
    written = tmp_path / "compare.json"
    hosts = "[{name: h, count: 2, nodes: [{id: 0, cpus: 0-7, memory: 16GiB}]}]"
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text(f"schema: placer.inventory/v1\nhosts: {hosts}\nvms: [{{name: v, vcpus: 4, memory: 4GiB}}]\n")
    placer("whatif", fleet, "--fail-each", "host", "--add-vms", "3*8x8GiB", "--flavor", "2x2GiB", "-o", written)
    schema, tree = published_schema("comparison"), json.loads(written.read_text())
    assert tree["schema"] == schema["title"] and fits(tree, schema, schema)
    first = tree["scenarios"][0]
    bare = {"name": "x", "changes": [], "status": "impossible", "reason": "no room"}
    assert fits({**tree, "scenarios": [first, bare]}, schema, schema)
    assert not fits({**tree, "scenarios": [{**first, "placed": "2"}]}, schema, schema)


def test_without_a_document_the_choices_are_in_one_line(placer: Placer) -> None:
    """What is missing is said in words; line ends came as signs."""
    said = placer("schema").err
    assert "\\n" not in said and "inventory, plan, scenario, comparison" in said
