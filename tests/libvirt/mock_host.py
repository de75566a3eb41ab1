"""What the tests on ``test:///default`` share: domains defined there, an inventory of them, a plan made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from placer.emit.plan_file import write_plan
from placer.model.plan import Change, Plan, PlanCell, PlanVm
from placer.read.inventory.inventory import read_fleet

URI = "test:///default"
MIB = 1024


def uuid_of(number: int) -> str:
    """Return the UUID of the n-th domain."""
    return f"7e570000-0000-4000-8000-{number:012d}"


class MockHost:
    """The mock driver's host: two nodes, CPUs 0-7 and 8-15; its CPU maps know only the first eight."""

    def __init__(self, raw: Any, folder: Path) -> None:
        self.raw = raw
        self.folder = folder
        self._numbers: dict[str, int] = {}

    def define(
        self,
        name: str,
        *,
        runs: bool = False,
        inside: str = "",
        vcpus: int = 2,
        memory_mib: int = 64,
        devices: str = "",
    ) -> Any:
        """Define a domain, and start it if asked; returns libvirt's object."""
        number = self._numbers.setdefault(name, len(self._numbers) + 1)
        escaped = name.replace("&", "&amp;").replace("<", "&lt;")
        domain = self.raw.defineXML(
            f"<domain type='test'><name>{escaped}</name><uuid>{uuid_of(number)}</uuid>"
            f"<memory unit='MiB'>{memory_mib}</memory><vcpu>{vcpus}</vcpu>{inside}<os><type>hvm</type></os>"
            f"<devices>{devices}</devices></domain>"
        )
        if runs:
            domain.create()
        return domain

    def xml(self, name: str, *, secure: bool = True) -> str:
        """Return the persistent XML of a domain."""
        return str(self.raw.lookupByName(name).XMLDesc(2 | (1 if secure else 0)))

    def pins(self, name: str) -> list[set[int]]:
        """Return the live CPUs of each vCPU."""
        _, maps = self.raw.lookupByName(name).vcpus()
        return [{cpu for cpu, taken in enumerate(cpumap) if taken} for cpumap in maps]

    def inventory(self, said: Mapping[str, Mapping[str, object]] | None = None, **host: object) -> Path:
        """Write the inventory of the host and of all domains defined by `define`.

        They are dedicated because it says so: by their XML alone, domains that nobody pinned are shared.
        """
        (self.folder / "mock.xml").write_text(self.raw.getCapabilities())
        entries = []
        for name, number in self._numbers.items():
            file = f"d{number}.xml"
            (self.folder / file).write_text(self.xml(name, secure=False))
            kept: dict[str, object] = {"host": "mock", "overhead": "0MiB", "cpu_policy": "dedicated"}
            entries.append({"domain": file, **kept, **(said or {}).get(name, {})})
        tree = {
            "schema": "placer.inventory/v1",
            "hosts": [{"name": "mock", "topology": "mock.xml", "uri": URI, **host}],
            "vms": entries,
        }
        path = self.folder / "fleet.yaml"
        path.write_text(yaml.safe_dump(tree))
        return path

    def plan(self, places: Mapping[str, tuple[int, ...]], *, node: int = 0, **said: object) -> Path:
        """Write a plan that pins vCPU n of each domain to its n-th CPU, memory on one node."""
        fleet = read_fleet(self.folder / "fleet.yaml")
        vms = []
        for name, cpus in places.items():
            vm = fleet.vm_by_name[name]
            memory = vm.spec.memory_kib
            vcpus = frozenset(range(vm.spec.vcpus))
            cell = PlanCell(id=0, vcpus=vcpus, memory_kib=memory, mode="strict", nodes={node: memory})
            told: dict[str, Any] = {
                "host": "mock", "emulator": frozenset(cpus), "change": Change.REPIN, **said,
            }  # fmt: skip
            vms.append(
                PlanVm(
                    name=name,
                    uuid=vm.uuid,
                    cells=(cell,),
                    pins={vcpu: frozenset({cpu}) for vcpu, cpu in enumerate(cpus)},
                    iothreads=dict.fromkeys(vm.spec.iothreads, frozenset(cpus)),
                    **told,
                )
            )
        plan = Plan(
            fleet_path=str(self.folder / "fleet.yaml"), fleet_digest=fleet.digest, seed=0, rounds=0, status="feasible",
            goals=(), vms=tuple(vms), unplaced=(),
        )  # fmt: skip
        path = self.folder / "plan.json"
        write_plan(plan, path, force=True)
        return path

    def records(self, name: str = "plan.journal-1.jsonl") -> list[dict[str, Any]]:
        """Return the records of a journal as JSON."""
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]
