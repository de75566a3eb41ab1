"""A plan as a Terraform override file for bpg/proxmox: node, CPU set and cells of every VM that the plan changes.

Terraform merges a file called ``*_override.tf.json`` into the resources of the same names; in its JSON form no name can
break out of its string. Order and undo are Terraform's: ``terraform plan`` first, the file removed takes it back.
Source: Terraform language, JSON syntax and override files; provider bpg/proxmox, resource
``proxmox_virtual_environment_vm``.
"""

from __future__ import annotations

import json
import re
from typing import Any

from placer.emit.export import Exporter
from placer.emit.platforms.proxmox import proxmox_cells
from placer.emit.platforms.waves import changes_of, still_floats
from placer.errors import Fault, InputError
from placer.model.cpuset import format_cpuset
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Vm

_RESOURCE = "proxmox_virtual_environment_vm"
_SAID = [
    "Made by placer: see terraform plan before terraform apply.",
    "A cpu block here takes the place of the whole block of your configuration: copy type, flags, units, sockets and "
    "whatever else stands there into it.",
    "reboot_after_update keeps the provider from restarting VMs that the plan leaves running: their CPUs and cells "
    "count from the next start. Setting affinity takes root@pam.",
]


def terraform_json(plan: Plan, fleet: Fleet) -> bytes:
    """Return the override file.

    Raises
    ------
    InputError
        Two VMs would get one resource name.
    """
    resources: dict[str, Any] = {}
    owner: dict[str, str] = {}
    faults = []
    for vm in changes_of(plan):
        name = resource_name(vm.name)
        if name in owner:
            message = f"VMs {owner[name]!r} and {vm.name!r} would both be the resource {name}"
            faults.append(Fault(message=message, file=fleet.path, cure="give one of them another name"))
        owner[name] = vm.name
        resources[name] = _resource(vm, fleet.vm_by_name[vm.name])
    if faults:
        raise InputError(faults)
    document = {"//": _SAID, "resource": {_RESOURCE: resources}}
    return (json.dumps(document if resources else {}, indent=2) + "\n").encode("utf-8", "surrogateescape")


def resource_name(name: str) -> str:
    """Return a VM's name as Terraform takes it: letters, digits, ``_`` and ``-``, no digit or dash in front."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    return plain if re.match(r"[A-Za-z_]", plain) else f"_{plain}"


def _resource(vm: PlanVm, known: Vm) -> dict[str, Any]:
    cpus = frozenset().union(*vm.pins.values(), vm.emulator or (), *vm.iothreads.values())
    cells = [
        {"device": f"numa{number}", **cell, "memory": int(cell["memory"])}
        for number, cell in enumerate(proxmox_cells(vm.cells))
        if vm.shown or "hostnodes" in cell
    ]
    made: dict[str, Any] = {"node_name": _literal(vm.host)}
    if known.current is None or known.current.host != vm.host:
        made["migrate"] = True
    if still_floats(known, vm.cells):
        return made  # it floats: of its CPUs and memory nothing is to be said
    if vm.change not in (Change.RENODE, Change.RESTART):
        made["reboot_after_update"] = False  # the provider's own choice is to restart, and the plan has nobody down
    made["cpu"] = {"cores": known.spec.vcpus, "sockets": 1, "numa": True, "affinity": format_cpuset(cpus)}
    made["numa"] = cells
    return made


def _literal(text: str) -> str:
    """Return text in which Terraform sees no templates."""
    return text.replace("${", "$${").replace("%{", "%%{")


EXPORTER = Exporter(
    files=lambda plan, fleet: {"placer_override.tf.json": terraform_json(plan, fleet)}, document=terraform_json
)
