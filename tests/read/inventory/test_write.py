"""Writing inventories: text that a person can read, and that reads back as the same fleet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from placer.errors import InputError
from placer.model.cpu_topology import CpuTopology, TopologyPolicy
from placer.model.fleet import Fleet
from placer.model.host import Device, Host, Node, NodeKind, Reserve, Topology
from placer.model.rules import Rule, RuleKind
from placer.model.vm import (
    Bound,
    Cell,
    CellMode,
    CpuPolicy,
    Current,
    DeviceRequest,
    EmulatorPolicy,
    MemoryMode,
    Movable,
    PinPolicy,
    ThreadPolicy,
    Usage,
    Vm,
    VmSpec,
)
from placer.read.hosts.host import read_topology
from placer.read.inventory.inventory import parse_fleet, read_fleet
from placer.read.inventory.write import inventory_text
from placer.read.inventory.yaml_form import number, quoted, scalar

DISTANCES_ASSUMED = "distances are not told: 20 between any two nodes, as the kernel assumes"
DATA = ["two-node", "epyc-nps4", "four-socket", "memory-only", "mixed-racks", "full-load"]


def again(fleet: Fleet) -> Fleet:
    """Write a fleet and read it back."""
    return parse_fleet(inventory_text(fleet).encode(), "again", fleet.base_dir or ".")


def assert_same(one: Fleet, other: Fleet) -> None:
    """Compare what two fleets hold; the lines of rules are those of another file."""
    assert one.hosts == other.hosts
    assert one.vms == other.vms
    assert [replace(rule, line=None) for rule in one.rules] == [replace(rule, line=None) for rule in other.rules]


def topology(**keys: object) -> Topology:
    """Return two nodes of two CPUs with these fields."""
    plain: dict[str, object] = {
        "nodes": (
            Node(id=0, cpus=frozenset({0, 1}), memory_kib=1024),
            Node(id=1, cpus=frozenset({2, 3}), memory_kib=2048),
        ),
        "distances": ((10.0, 21.0), (21.0, 10.0)),
        "cores": tuple(frozenset({n}) for n in range(4)),
        "packages": (frozenset({0, 1}), frozenset({2, 3})),
    }
    return Topology(**(plain | keys))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", DATA)
def test_bundled_inventories_come_back(repository: Path, name: str) -> None:
    """Each inventory under data/ is the same fleet after being written and read."""
    fleet = read_fleet(repository / "data" / f"{name}.yaml")
    assert_same(fleet, again(fleet))


@pytest.mark.parametrize("name", DATA)
def test_writing_is_stable(repository: Path, name: str) -> None:
    """What was written and read is written the same."""
    fleet = read_fleet(repository / "data" / f"{name}.yaml")
    assert inventory_text(again(fleet)) == inventory_text(fleet)


def test_the_text_is_what_a_person_would_write() -> None:
    """Runs of like names become counts, defaults are left out, host files are referred to."""
    spec = VmSpec(vcpus=4, memory_kib=8 * 1024**2)
    host = Host(name="a", topology=topology(), labels={"rack": "r1"}, resources={"disk": 1024**4, "vf": 3})
    fleet = Fleet(
        hosts=(host, *(replace(host, name=f"b-{n}", cost=2.0) for n in (1, 2, 3))),
        vms=(
            *(Vm(name=f"v-{n}", spec=spec) for n in (1, 2)),
            Vm(name="v-4", spec=spec),
            Vm(name="no", spec=spec, current=Current(host="a", nodes=(0,), memory_nodes=(0,))),
        ),
        rules=(Rule(kind=RuleKind.DRAIN, hosts={"name": "a"}),),
    )
    assert inventory_text(fleet, comments=["Made for a test"]) == (
        "# Made for a test\n"
        "schema: placer.inventory/v1\n"
        "hosts:\n"
        "  - name: a\n"
        "    nodes:\n"
        '      - {id: 0, cpus: "0-1", memory: 1MiB}\n'
        '      - {id: 1, cpus: "2-3", memory: 2MiB}\n'
        "    threads_per_core: 1\n"
        '    packages: ["0-1", "2-3"]\n'
        "    distances: [[10, 21], [21, 10]]\n"
        "    labels: {rack: r1}\n"
        "    resources: {disk: 1TiB, vf: 3}\n"
        "  - name: b\n"
        "    count: 3\n"
        "    nodes:\n"
        '      - {id: 0, cpus: "0-1", memory: 1MiB}\n'
        '      - {id: 1, cpus: "2-3", memory: 2MiB}\n'
        "    threads_per_core: 1\n"
        '    packages: ["0-1", "2-3"]\n'
        "    distances: [[10, 21], [21, 10]]\n"
        "    cost: 2\n"
        "    labels: {rack: r1}\n"
        "    resources: {disk: 1TiB, vf: 3}\n"
        "vms:\n"
        "  - name: v\n"
        "    count: 2\n"
        "    vcpus: 4\n"
        "    memory: 8GiB\n"
        "    cells: auto\n"
        "  - name: v-4\n"
        "    vcpus: 4\n"
        "    memory: 8GiB\n"
        "    cells: auto\n"
        '  - name: "no"\n'
        "    vcpus: 4\n"
        "    memory: 8GiB\n"
        "    cells: auto\n"
        "    host: a\n"
        "    nodes: [0]\n"
        "rules:\n"
        "  - {drain: a}\n"
    )


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"assumptions": (DISTANCES_ASSUMED,), "distances": ((10, 20), (20, 10))},
        {"assumptions": ("made up",), "distances": ((10, 10), (30.5, 10))},
        {"cores": (frozenset({0, 1}), frozenset({2}), frozenset({3}))},
        {"cores": (frozenset({0, 2}), frozenset({1, 3})), "packages": (frozenset({0, 1, 2, 3}),)},
        {
            "packages": (frozenset({0, 1, 2, 3}),),
            "dies": (frozenset({0, 1}), frozenset({2, 3})),
            "clusters": (frozenset({0}),),
        },
        {
            "l3": (frozenset({0, 1}), frozenset({2, 3})),
            "offline": frozenset({4, 9}),
            "assumptions": ("CPUs 4,9 are offline: left out",),
        },
        {"arch": "x86_64", "model": "EPYC: the 2nd", "kvm": False, "page_kib": 64, "source": "gone.xml"},
        {"bandwidth_mib_s": ((1000.5, None), (None, 2000.0))},
        {"devices": (Device(address="0000:00:1f.0", kind="nic", node=1, count=4), Device(address="b", kind="gpu"))},
        {
            "nodes": (
                Node(
                    id=0,
                    cpus=frozenset({0, 1, 2, 3}),
                    memory_kib=4 * 1024**2,
                    pages={1024**2: 2, 2048: 5},
                    free_kib=77,
                    free_pages={2048: 1},
                ),
                Node(id=3, memory_kib=1024, kind=NodeKind.MEMORY_ONLY, resources={"vf": 3}),
            ),
            "packages": (frozenset({0, 1, 2, 3}),),
        },
        {
            "nodes": (
                Node(id=0, cpus=frozenset(range(4)), memory_kib=1),
                Node(id=1, memory_kib=9, kind=NodeKind.DEVICE),
            ),
            "packages": (frozenset({0, 1, 2, 3}),),
        },
    ],
)
def test_topologies_come_back(keys: dict[str, object]) -> None:
    """Whatever a topology knows stands in its entry: holes, odd cores, measured figures, devices, assumptions."""
    told = topology(**keys)
    fleet = Fleet(hosts=(Host(name="a", topology=told, kvm=told.kvm is not False),), vms=())
    assert_same(fleet, again(fleet))


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8).filter(
    str.strip
)
LABELS = st.dictionaries(TEXT, TEXT, max_size=2)
CPUS = st.frozensets(st.integers(0, 3), min_size=1)
SHARE = st.floats(0, 1, allow_subnormal=False).map(lambda share: round(share, 6))


@st.composite
def hosts(draw: st.DrawFn) -> Host:
    """Draw a host of two nodes with whatever may be said of one."""
    reserved = draw(st.frozensets(st.integers(0, 3), max_size=2))
    dedicated = draw(st.none() | CPUS.map(lambda cpus: cpus - reserved))
    shared = None if dedicated is None else draw(st.none() | st.just(frozenset(range(4)) - dedicated - reserved))
    return Host(
        name="",
        topology=draw(st.sampled_from([topology(), topology(kvm=True), topology(distances=((10, 30), (20, 10)))])),
        uuid=draw(st.none() | st.uuids().map(str)),
        reserve=Reserve(
            cpus=reserved,
            memory_kib=draw(st.dictionaries(st.sampled_from([None, 0, 1]), st.integers(1, 500), max_size=3)),
        ),
        dedicated_cpus=dedicated,
        shared_cpus=shared,
        isolated_cpus=draw(st.frozensets(st.integers(0, 3), max_size=2)),
        cpu_ratio=draw(st.sampled_from([1.0, 4.0, 1.5])),
        memory_ratio=draw(st.sampled_from([1.0, 1.25])),
        cost=draw(st.sampled_from([1.0, 0.0, 0.1, 3.0])),
        failed=draw(st.booleans()),
        uri=draw(st.none() | TEXT.filter(lambda text: "{name}" not in text)),
        migration_domain=draw(st.none() | TEXT),
        labels=draw(LABELS),
        resources=draw(st.sampled_from([{}, {"vf": 3}, {"disk": 1024**4}, {"disk": 5 * 10**9, "vf": 0}])),
    )


@st.composite
def specs(draw: st.DrawFn) -> VmSpec:
    """Draw a sound spec."""
    policy = draw(st.sampled_from(CpuPolicy))
    form = draw(st.sampled_from(["auto", "none", "spread", "equal", "uneven", "crossed", "alone"]))
    cells = {
        "auto": (),
        "equal": (Cell(vcpus=frozenset({0, 1}), memory_kib=2048), Cell(vcpus=frozenset({2, 3}), memory_kib=2048)),
        "uneven": (
            Cell(vcpus=frozenset({0}), memory_kib=1024, mem_access="shared"),
            Cell(vcpus=frozenset({1, 2, 3}), memory_kib=3072),
        ),
        "alone": (
            Cell(vcpus=frozenset(range(4)), memory_kib=3072, page_kib=4),
            Cell(vcpus=frozenset(), memory_kib=1024, page_kib=1024),
        ),
        "crossed": (Cell(vcpus=frozenset({0, 3}), memory_kib=1024), Cell(vcpus=frozenset({1, 2}), memory_kib=3072)),
    }.get(form, (Cell(vcpus=frozenset(range(4)), memory_kib=4096),))
    return VmSpec(
        vcpus=4,
        memory_kib=4096,
        cell_mode={"auto": CellMode.AUTO, "none": CellMode.NONE, "spread": CellMode.NONE}.get(form, CellMode.GIVEN),
        cells=cells,
        interleave=2 if form == "spread" else 1,
        share_node=draw(st.booleans()),
        locality=draw(st.none() | SHARE),
        page_kib=draw(st.none() | st.just(1024)),
        cpu_policy=policy,
        dedicated_vcpus=frozenset({0, 2}) if policy is CpuPolicy.MIXED else frozenset(),
        thread_policy=draw(st.sampled_from(ThreadPolicy)) if policy is not CpuPolicy.SHARED else ThreadPolicy.PREFER,
        emulator_threads=draw(st.none() | st.sampled_from(EmulatorPolicy)),
        iothreads=draw(st.sampled_from([(), (1, 2), (2, 7)])),
        overhead_kib=draw(st.none() | st.integers(0, 5000)),
        memory_tier=draw(st.sampled_from(["normal", "any"])),
        memory_mode=draw(st.none() | st.sampled_from(MemoryMode)),
        vcpus_current=draw(st.none() | st.integers(1, 4)),
        weight=draw(SHARE),
        priority=draw(st.integers(-3, 3)),
        devices=draw(
            st.sampled_from(
                [(), (DeviceRequest(kind="nic", policy="required", count=2, per="cell"), DeviceRequest(kind="g"))]
            )
        ),
        resources=draw(st.sampled_from([{}, {"vf": 1}, {"disk": 1024**3}])),
        labels=draw(LABELS),
        reshape=draw(st.booleans()),
        kvm=draw(st.booleans()),
        cpu_topology=draw(st.none() | st.sampled_from(TopologyPolicy) | st.just(CpuTopology(sockets=2, dies=2))),
        max_sockets=draw(st.none() | st.just(2)),
    )


NODES = st.none() | st.frozensets(st.integers(0, 1), min_size=1)


def _are_sets(bound: tuple[Bound, ...]) -> bool:
    """Tell whether not all are of one node: those are read as a node a cell."""
    return not all(len(one.cpus or ()) == len(one.memory or ()) == 1 for one in bound)


@st.composite
def vms(draw: st.DrawFn, host_names: list[str]) -> Vm:
    """Draw a VM, placed or not."""
    spec = draw(specs())
    current = None
    if draw(st.booleans()):
        wanted = {CellMode.GIVEN: len(spec.cells), CellMode.NONE: spec.interleave, CellMode.AUTO: 2}[spec.cell_mode]
        some = st.none() | st.tuples(*[st.integers(0, 1)] * wanted)
        current = Current(
            host=draw(st.sampled_from(host_names)),
            nodes=draw(some),
            memory_nodes=draw(some),
            pins=draw(st.dictionaries(st.integers(0, 3), CPUS, max_size=4)),
            emulator=draw(st.none() | CPUS),
            iothread_pins=draw(st.dictionaries(st.integers(1, 3), CPUS, max_size=2)),
            memory_on=draw(st.dictionaries(st.integers(0, 1), st.integers(0, 4096), max_size=2)),
        )
        if draw(st.booleans()):
            one = st.builds(Bound, cpus=NODES, memory=NODES, wish=st.frozensets(st.integers(0, 1)))
            count = draw(st.sampled_from([1, max(1, len(spec.cells))]))
            bound = draw(st.tuples(*[one] * count).filter(_are_sets))
            current = replace(current, nodes=None, memory_nodes=None, bound=bound)
    return Vm(
        name="",
        spec=spec,
        uuid=draw(st.none() | st.uuids().map(str)),
        current=current,
        movable=draw(st.sampled_from(Movable)),
        movable_why=tuple(draw(st.lists(TEXT, max_size=2))),
        pins_fixed=current is not None and bool(current.pins) and draw(st.booleans()),
        pin=draw(st.sampled_from(PinPolicy)),
        running=draw(st.booleans()),
        usage=draw(st.none() | st.builds(Usage, cpu_p95=st.none() | SHARE, memory_p95=st.none() | SHARE)),
        notes=tuple(draw(st.lists(TEXT, max_size=2))),
    )


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    """Draw a small fleet with any names."""
    names = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))
    made = [replace(draw(hosts()), name=name) for name in names]
    vm_names = draw(st.lists(TEXT | st.sampled_from(["v-1", "v-2", "v-3"]), max_size=4, unique=True))
    rules = [
        Rule(
            kind=RuleKind.ANTI_AFFINITY,
            members={"name": name},
            max_per=draw(st.integers(1, 2)),
            name=draw(st.none() | TEXT),
        )
        for name in vm_names[:2]
    ]
    label = next((key for host in made for key in host.labels), None)
    if label is not None and vm_names:
        members = {"name": vm_names[0]}
        rules.append(Rule(kind=RuleKind.ANTI_AFFINITY, members=members, scope=label, unless={"name": names[-1]}))
    rules.append(Rule(kind=RuleKind.DRAIN, hosts={"name": names[0]}))
    rules += [Rule(kind=RuleKind.WITHIN, members={"name": name}, hosts={"name": names[-1]}) for name in vm_names[:1]]
    rules.append(Rule(kind=RuleKind.DRAIN, hosts={"name": frozenset(names)}))
    for name in vm_names[:1]:
        one, others = {"name": frozenset((name, *vm_names[:2]))}, {"name": vm_names[-1]}
        rules += [
            Rule(kind=RuleKind.APART, members=one, others=others, max_per=0, weight=3, priority=-2),
            Rule(kind=RuleKind.ALONE, members=one, scope="node"),
            Rule(kind=RuleKind.DEDICATED, members=one, hosts={"name": names[0]}, weight=1),
            Rule(kind=RuleKind.SPREAD, members=one, domains_used=3),
            Rule(kind=RuleKind.EVEN, members=one, skew=0),
            Rule(kind=RuleKind.SHARE, members=one, of="memory", most=3072),
            Rule(kind=RuleKind.SHARE, members=one, of="hosts", most=2, scope="host"),
        ]
    rules.append(Rule(kind=RuleKind.RESERVE, scope="host", fail=1))
    return Fleet(
        hosts=tuple(made), vms=tuple(replace(draw(vms(names)), name=name) for name in vm_names), rules=tuple(rules)
    )


@given(fleets())
@settings(max_examples=75)
def test_any_fleet_comes_back(fleet: Fleet) -> None:
    """Whatever a fleet holds, it is the same after being written and read."""
    assert_same(fleet, again(fleet))


@given(TEXT)
def test_names_are_safe_for_every_yaml_reader(text: str) -> None:
    """A scalar as placer writes it is the same text to PyYAML, whatever it looks like."""
    assert yaml.safe_load(f"- {scalar(text)}") == [text]
    assert yaml.safe_load(f"{{{scalar(text)}: {quoted(text)}}}") == {text: text}


@given(st.floats(0, 1e6, allow_subnormal=False))
def test_numbers_come_back_exactly(value: float) -> None:
    """The text of a number is the number itself."""
    assert float(number(value)) == value


def test_an_inventory_with_domain_xml_refers_to_it(repository: Path) -> None:
    """What the XML tells is not told again; what the inventory says above it is."""
    fleet = read_fleet(repository / "data/two-node.yaml")
    vm = fleet.vm_by_name["half-pinned"]
    changed = replace(vm, spec=replace(vm.spec, weight=2.0, cpu_policy=CpuPolicy.SHARED, dedicated_vcpus=frozenset()))
    fleet = replace(fleet, vms=(changed,))
    text = inventory_text(fleet)
    assert "    domain: domains/half-pinned.xml\n    cpu_policy: shared\n    weight: 2\n" in text
    assert_same(fleet, again(fleet))


def test_what_ran_unpinned_is_shared_when_it_is_nowhere(tmp_path: Path) -> None:
    """A VM whose XML names no CPUs shares its host, and does so too once it is nowhere; such XML reads as dedicated."""
    (tmp_path / "d.xml").write_text("<domain type='kvm'><name>v</name><memory>1048576</memory><vcpu>2</vcpu></domain>")
    hosts = 'hosts: [{name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}]}]'
    text = f"schema: placer.inventory/v1\n{hosts}\nvms: [{{name: v, domain: d.xml, host: h}}]\n"
    fleet = parse_fleet(text.encode(), "f.yaml", tmp_path)
    gone = replace(fleet, vms=(replace(fleet.vms[0], current=None),))
    assert gone.vms[0].spec.cpu_policy is CpuPolicy.SHARED and "cpu_policy: shared" in inventory_text(gone)
    assert_same(gone, again(gone))


@pytest.mark.slow
def test_every_shared_machine_comes_back(shared_dir: Path) -> None:
    """Topologies of real machines are the same after being written in full and read."""
    seen = 0
    for path in sorted((shared_dir / "topologies").glob("*/**/*")):
        if path.suffix not in (".xml", ".txt") or "domains" in str(path):
            continue
        try:
            read = read_topology(path)
        except InputError:
            continue
        host = Host(name="a", topology=replace(read, source="elsewhere"), kvm=read.kvm is not False)
        fleet = Fleet(hosts=(host,), vms=())
        assert fleet.hosts == again(fleet).hosts, path
        seen += 1
    assert seen > 100
