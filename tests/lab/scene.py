"""Scenes for the tests of the lab: domains defined in it, and the inventory that placer plans."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from placer.emit.plan_file import write_plan
from placer.model.plan import Change, Plan, PlanCell, PlanVm
from placer.model.vm import EmulatorPolicy
from placer.read.inventory.inventory import read_fleet
from tests.lab.domains import LabDomain
from tests.lab.machine.lab import Lab
from tests.lab.placer_run import PlacerRun


@dataclass(frozen=True, slots=True)
class Place:
    """Where a plan made by hand puts a VM: a CPU a vCPU, and the node of its memory."""

    cpus: tuple[int, ...]
    node: int
    change: Change = Change.REPIN


def define(lab: Lab, folder: Path, domains: Iterable[LabDomain]) -> None:
    """Define domains in the lab."""
    for domain in domains:
        file = folder / f"{domain.name}.define.xml"
        file.write_text(domain.xml())
        lab.virsh("define", str(file))


def reserve_pages(lab: Lab, node: int, count: int) -> None:
    """Let the lab's kernel keep so many 2 MiB pages on a node."""
    pool = f"/sys/devices/system/node/node{node}/hugepages/hugepages-2048kB/nr_hugepages"
    kept = lab.shell(f"echo {count} > {pool}; cat {pool}").strip()
    assert kept == str(count), f"the lab kept {kept} pages of {count}"


def inventory(
    lab: Lab, folder: Path, vms: Mapping[str, Mapping[str, object]], host: Mapping[str, object] | None = None
) -> Path:
    """Import the lab as it is now, keep the VMs named, and write in what a person says of them and of the host.

    Domains that nobody pinned are imported as shared and float: here each is to be dedicated and bound, or says other.
    """
    path = folder / "fleet.yaml"
    done = PlacerRun.run(folder, "import", "libvirt", "--connect", f"lab={lab.uri}", "-o", path.name, "--force")
    assert done.code == 0, done.err
    tree = yaml.safe_load(path.read_text())
    imported = {entry["name"]: entry for entry in tree["vms"]}
    # Dedicated and to be bound, which no XML can say of a domain that is pinned nowhere.
    for entry in imported.values():
        entry.pop("bound", None)
    kept = {"overhead": "16MiB", "cpu_policy": "dedicated", "pin": "must"}
    tree["vms"] = [{**imported[name], **kept, **said} for name, said in vms.items()]
    [entry] = tree["hosts"]
    assert entry["uri"] == lab.uri
    tree["hosts"] = [{**entry, **(host or {})}]
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


def plan_by_hand(folder: Path, places: Mapping[str, Place]) -> Path:
    """Write a plan of the inventory in the folder that puts each VM with one cell where it is told to."""
    fleet = read_fleet(folder / "fleet.yaml")
    vms = []
    for name, place in places.items():
        vm = fleet.vm_by_name[name]
        cell = PlanCell(
            id=0,
            vcpus=frozenset(range(vm.spec.vcpus)),
            memory_kib=vm.spec.memory_kib,
            mode="strict",
            nodes={place.node: vm.spec.memory_kib},
        )
        shared = vm.spec.emulator_threads is EmulatorPolicy.SHARE
        emulator = frozenset(place.cpus) if shared else fleet.host_by_name["lab"].housekeeping_cpus
        vms.append(
            PlanVm(
                name=name,
                uuid=vm.uuid,
                host="lab",
                cells=(cell,),
                pins={vcpu: frozenset({cpu}) for vcpu, cpu in enumerate(place.cpus)},
                emulator=emulator,
                iothreads=dict.fromkeys(vm.spec.iothreads, emulator),
                change=place.change,
            )
        )
    plan = Plan(
        fleet_path="fleet.yaml",
        fleet_digest=fleet.digest,
        seed=0,
        rounds=0,
        status="feasible",
        goals=(),
        vms=tuple(vms),
        unplaced=(),
    )
    path = folder / "plan.json"
    write_plan(plan, path, force=True)
    return path
