"""Objects and patches for KubeVirt, held against the types of its API by TypeScript's compiler."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.emit.export import export_plan
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet
from tests.emit.drained import planned
from tests.emit.stand_ins import KUBECTL, run, words_of

pytestmark = pytest.mark.platforms
TYPES = """\
import type * as api from "@kubevirt-ui-ext/kubevirt-api/dist/kubevirt/index.d.ts";
type Patch<T> = T extends (infer One)[] ? Patch<One>[] : T extends object ? {[K in keyof T]?: Patch<T[K]> | null} : T;
"""
FLAGS = {
    "get": {"--namespace", "--output"},
    "create": {"--namespace", "--filename"},
    "patch": {"--namespace", "--type", "--patch"},
    "wait": {"--namespace", "--for", "--timeout"},
}
"""What of kubectl's reference each command is given; virtctl restart has --namespace alone."""


def commands(tmp_path: Path, script: str) -> tuple[list[list[str]], str]:
    """Return the commands of a script that went forth and back, and what was given to kubectl create."""
    tools = {"kubectl": KUBECTL, "virtctl": ""}
    for words in (("--apply",), ("--undo", "--apply")):
        run(script, tmp_path, *words, tools=tools)
    return words_of(tmp_path), (tmp_path / "log").read_text()


def typed_source(objects: list[Any], patches: list[Any]) -> str:
    """Return TypeScript in which each object and patch has the type that it is meant for."""
    lines = [f"const o{n}: api.V1VirtualMachineInstanceMigration = {json.dumps(one)};" for n, one in enumerate(objects)]
    lines += [f"const p{n}: Patch<api.V1VirtualMachine> = {json.dumps(one)};" for n, one in enumerate(patches)]
    return TYPES + "\n".join(lines)


def test_what_a_plan_sends(typed: Callable[..., str], tmp_path: Path) -> None:
    """Migrations and the patches of a VM that starts anew on another node; kubectl's own words beside."""
    script = str(export_plan(*planned("shop/vm-{}"), "kubevirt", None))
    ran, given = commands(tmp_path, script)
    decoder = json.JSONDecoder()
    objects = [decoder.raw_decode(given[one.start() :])[0] for one in re.finditer(r'\{"apiVersion"', given)]
    patches = [json.loads(words[words.index("--patch") + 1]) for words in ran if "--patch" in words]
    assert objects and patches
    assert typed(typed_source(objects, patches)) == ""
    for words in ran:
        flags = {word for word in words if word.startswith("--")}
        assert flags <= (FLAGS[words[3]] if words[0] == "kubectl" else {"--namespace"}), words


@pytest.mark.parametrize("more", ["page_size: 1GiB, emulator_threads: isolate, cells: 2", "cells: 2"])
def test_what_new_cells_ask_for(more: str, typed: Callable[..., str], tmp_path: Path) -> None:
    """Dedicated CPUs, huge pages and the mapping of cells are fields of a VirtualMachine, and taken back as such."""
    nodes = '[{id: 0, cpus: "0-3", memory: 16GiB, pages: {1GiB: 8}}, {id: 1, cpus: "4-7", memory: 16GiB, '
    text = f"schema: placer.inventory/v1\nhosts: [{{name: n1, nodes: {nodes} pages: {{1GiB: 8}}}}]}}]\n"
    text += f"vms: [{{name: db, manager_id: shop/db, vcpus: 2, memory: 4GiB, {more}}}]\n"
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    script = str(export_plan(solve_fleet(fleet, rounds=2), fleet, "kubevirt", None))
    spec = {"domain": {"cpu": {"cores": 2}, "memory": {"guest": "4Gi"}}}
    kept = json.dumps({"spec": {"template": {"spec": spec}}})
    stand_in = f'case "$*" in *"get virtualmachine "*) echo \'{kept}\' ;; *instance*) echo n1 ;; esac\n'
    for words in (("--apply",), ("--undo", "--apply")):
        code, _, said, _ = run(script, tmp_path, *words, tools={"kubectl": stand_in})
        assert code == 0, said
    patches = [json.loads(words[words.index("--patch") + 1]) for words in words_of(tmp_path) if "--patch" in words]
    assert len(patches) == 2 and patches[1]["spec"]["template"]["spec"]["domain"]["cpu"]["numa"] is None
    assert typed(typed_source([], patches)) == ""


def test_the_types_see_strangers(typed: Callable[..., str]) -> None:
    """A field of another name, type or place is an error each."""
    spec = {"vmiName": "a", "addedNodeSelector": {"zone": 1}, "node": "b"}
    domain = {"cpu": {"dedicatedCpuPlacement": "yes", "numa": {"passthrough": {}}}}
    said = typed(typed_source([{"spec": spec}], [{"spec": {"template": {"spec": {"domain": domain}}}}]))
    assert len(re.findall(r"error TS2", said)) >= 3 and "passthrough" in said
