"""A small cluster of which one host is emptied, and its plan: what the tests of the platforms' forms export."""

from __future__ import annotations

from pathlib import Path

from placer.check.check import check
from placer.emit.export import export_plan
from placer.model.fleet import Fleet
from placer.model.plan import Change, Plan, PlanCell, PlanVm
from placer.model.vm import CellMode
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet

SCRIPTS = ("proxmox", "openstack", "kubevirt", "ovirt", "opennebula", "incus")
UUID = "0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f00{:02d}"
HOSTS = """\
schema: placer.inventory/v1
hosts:
  - {name: n1, state: drain, nodes: &nodes [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}
  - {name: n2, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}
  - {name: n3, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}
vms:
""".replace("&nodes ", "")
VMS = """\
  - {name: db, uuid: UUID1, manager_id: ID1, vcpus: 4, memory: 8GiB, cells: 2, host: n1, nodes: [0, 1],
     pins: {0: "0", 1: "1", 2: "4", 3: "5"}, labels: {flavor: m4}}
  - {name: web, uuid: UUID2, manager_id: ID2, vcpus: 2, memory: 2GiB, cells: none, host: n1, nodes: [1],
     pins: {0: "6", 1: "7"}, movable: cold}
  - {name: idle, uuid: UUID3, manager_id: ID3, vcpus: 1, memory: 1GiB, cells: none, host: n1, running: false}
  - {name: stays, uuid: UUID4, manager_id: ID4, vcpus: 2, memory: 2GiB, cells: none, host: n2, nodes: [0],
     pins: {0: "0", 1: "1"}}
"""


def planned(ident: str) -> tuple[Plan, Fleet]:
    """Return the plan that empties n1: one VM moves live, one cold, one is shut off; the platform counts by `ident`."""
    text = HOSTS + VMS
    for number in range(1, 5):
        text = text.replace(f"UUID{number}", UUID.format(number)).replace(f"ID{number}", ident.format(100 + number))
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    places = {
        "db": ("n3", ((0, (2, 3)), (1, (6, 7))), Change.MIGRATE),
        "web": ("n2", ((1, (4, 5)),), Change.RESTART),
        "idle": ("n3", ((1, (5,)),), Change.MIGRATE),
        "stays": ("n2", ((0, (0, 1)),), Change.NONE),
    }
    vms = []
    for vm in fleet.vms:
        host, cells, change = places[vm.name]
        cpus = [cpu for _, mine in cells for cpu in mine]
        share = vm.spec.memory_kib // len(cells)
        made = tuple(
            PlanCell(
                id=number,
                vcpus=frozenset(cpus.index(cpu) for cpu in mine),
                memory_kib=share,
                mode="strict",
                nodes={node: share},
            )
            for number, (node, mine) in enumerate(cells)
        )
        pins = {vcpu: frozenset({cpu}) for vcpu, cpu in enumerate(cpus)}
        left = vm.current.host if vm.current is not None and vm.current.host != host else None
        vms.append(
            PlanVm(
                name=vm.name,
                host=host,
                cells=made,
                pins=pins,
                uuid=vm.uuid,
                shown=vm.spec.cell_mode is CellMode.GIVEN,
                change=change,
                from_host=left,
            )
        )
    plan = Plan(
        fleet_path=None,
        fleet_digest=fleet.digest,
        seed=0,
        rounds=1,
        status="optimal",
        goals=(),
        vms=tuple(vms),
        unplaced=(),
    )
    report = check(fleet, plan)
    assert report.ok, report.faults
    return plan, fleet


IDENTS = {"kubevirt": "shop/vm-{}", "incus": "shop/vm{}"}


def script_of(form: str) -> str:
    """Return the script of the plan in this form."""
    text = export_plan(*planned(IDENTS.get(form, "{}")), form, None)
    assert isinstance(text, str)
    return text


GROWN = """\
schema: placer.inventory/v1
hosts:
  - {name: n1, state: drain, nodes: NODES}
  - {name: n2, nodes: NODES}
  - {name: n3, nodes: NODES}
rules:
  - {anti_affinity: [odd, huge]}
  - {within: [odd], hosts: [n2, n3]}
vms:
  - {name: odd, uuid: UUID1, manager_id: ID1, vcpus: 3, memory: 3GiB, host: n1, nodes: [0, 1],
     cells: [{vcpus: 2, memory: 2GiB}, {vcpus: 1, memory: 1GiB}], pins: {0: "0", 1: "1", 2: "8"},
     labels: {flavor: uneven}}
  - {name: huge, uuid: UUID2, manager_id: ID2, vcpus: 2, memory: 4GiB, page_size: 1GiB, cells: none, host: n1,
     nodes: [1], pins: {0: "9", 1: "10"}, emulator_threads: isolate}
  - {name: shared, uuid: UUID3, manager_id: ID3, vcpus: 2, memory: 2GiB, cells: none, cpu_policy: shared, host: n1}
  - {name: new, uuid: UUID4, manager_id: ID4, vcpus: 4, memory: 4GiB, cells: 2, page_size: 2MiB, labels: {flavor: m4}}
"""


NODES = """[{id: 0, cpus: "0-7", memory: 24GiB, pages: {2MiB: 2048, 1GiB: 8}},
     {id: 1, cpus: "8-15", memory: 24GiB, pages: {2MiB: 2048, 1GiB: 8}}]"""


def grown(ident: str) -> tuple[Plan, Fleet]:
    """Return a plan of uneven cells, huge pages, floating vCPUs and a new VM, with rules over hosts."""
    text = GROWN.replace("NODES", NODES)
    for number in range(1, 5):
        text = text.replace(f"UUID{number}", UUID.format(number)).replace(f"ID{number}", ident.format(100 + number))
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    return solve_fleet(fleet, goals="placed,rules,remote", max_moves=4, rounds=2), fleet
