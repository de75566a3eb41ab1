"""Lint: each rule speaks where it should, and is silent on the sound twin of the same fleet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placer.emit.domain.files import source_xml
from placer.lint.lint import RULE_NAMES, lint
from placer.model.fleet import Fleet
from placer.model.host import THREADS_UNTOLD, HostSettings
from placer.model.vm import Cell, CpuPolicy, DeviceRequest, ThreadPolicy
from placer.read.inventory.inventory import read_fleet

Build = Any
GIB = 1024 * 1024


def rules_of(fleet: Fleet) -> set[str]:
    """Return the rules that say something."""
    return {remark.rule for remark in lint(fleet, source_xml)}


def without_xml(build: Build, rule: str, bad: bool) -> Fleet:
    """Return a fleet on hosts of two nodes with 4 CPUs in 2 cores and 16 GiB that offends one rule, or its twin."""
    host, spec, current = build.host(), build.spec(2, 2), None
    match rule:
        case "odd-vcpus":
            spec = build.spec(5 if bad else 6, 2, cells="auto")
        case "more-cells-than-needed":
            spec = build.spec(4 if bad else 8, 2, cells=2)
        case "cell-wider-than-cores":
            spec = build.spec(3 if bad else 2, 2, cells=1)
        case "memory-over-node":
            spec = build.spec(2, 17 if bad else 16)
        case "hotplug-with-numa":
            spec = build.spec(8, 2, cells=2, vcpus_current=6 if bad else 8)
        case "emulator-on-own-cpus":
            pins = {0: frozenset({0}), 1: frozenset({2})}
            current = build.now(pins=pins, emulator=frozenset({0 if bad else 1}))
        case "vcpus-on-one-cpu":
            current = build.now(pins={0: frozenset({0}), 1: frozenset({0 if bad else 2})})
        case "iothread-on-vcpu":
            spec = build.spec(2, 2, iothreads=(1,))
            pins = {0: frozenset({0}), 1: frozenset({2})}
            current = build.now(pins=pins, iothread_pins={1: frozenset({0 if bad else 1})})
        case "pins-over-efficiency":
            slow = replace(host.topology, efficiency=frozenset({6, 7} if bad else {4}))
            host = replace(host, topology=slow)
            current = build.now(pins={0: frozenset({0}), 1: frozenset({6 if bad else 2})})
        case "cpus-pinned-twice":
            here = [{0: frozenset({0}), 1: frozenset({2})}, {0: frozenset({4}), 1: frozenset({2 if bad else 5})}]
            vms = [build.vm(f"v{n}", spec, current=build.now(pins=pins)) for n, pins in enumerate(here)]
            both: Fleet = build.fleet([host], vms)
            return both
        case "floating-unbalanced":
            host = build.host(settings=HostSettings(numa_balancing=not bad))
            current = build.now(nodes=None)
        case "pins-over-isolated":
            host = build.host(isolated_cpus=frozenset({0} if bad else {4}))
            current = build.now(pins={0: frozenset({0, 1}), 1: frozenset({2})})
        case "swap-beside-strict":
            host = build.host(settings=HostSettings(swap_kib=GIB if bad else 0))
            current = build.now()
        case "numa-balancing":
            host = build.host(settings=HostSettings(numa_balancing=bad))
        case "ksm-across-nodes":
            host = build.host(settings=HostSettings(ksm=True, ksm_across_nodes=bad))
        case "thp":
            host = build.host(settings=HostSettings(thp="never" if bad else "madvise"))
        case "numad":
            host = build.host(settings=HostSettings(numad=bad))
        case _:
            raise AssertionError(rule)
    made: Fleet = build.fleet([host], [build.vm("v", spec, current=current)])
    return made


XML: Mapping[str, tuple[str, str]] = {
    "sockets-not-cells": (
        "<cpu><topology sockets='1' cores='8' threads='1'/></cpu>",
        "<cpu><topology sockets='2' cores='4' threads='1'/></cpu>",
    ),
    "pins-over-siblings": (
        "<cpu><topology sockets='2' cores='4' threads='1'/></cpu>",
        "<cpu><topology sockets='2' cores='2' threads='2'/></cpu>",
    ),
    "threads-that-are-none": (
        "<cpu><topology sockets='1' cores='4' threads='2'/></cpu>",
        "<cpu><topology sockets='1' cores='8' threads='1'/></cpu>",
    ),
    "emulator-on-real-time": (
        "<cputune><vcpusched vcpus='1' scheduler='rr' priority='1'/></cputune>",
        "<cputune><vcpusched vcpus='0' scheduler='rr' priority='1'/></cputune>",
    ),
    "memory-far-from-pins": (
        "<numatune><memory mode='strict' nodeset='1'/></numatune>",
        "<numatune><memory mode='strict' nodeset='0'/></numatune>",
    ),
    "ballooning-beside-strict": (
        "<memory unit='GiB'>2</memory><currentMemory unit='MiB'>1024</currentMemory>"
        "<numatune><memory mode='strict'/></numatune>",
        "<memory unit='GiB'>2</memory><currentMemory unit='MiB'>2048</currentMemory>"
        "<numatune><memory mode='strict'/></numatune>",
    ),
    "numad-placement": (
        "<numatune><memory placement='auto'/></numatune>",
        "<numatune><memory nodeset='0'/></numatune>",
    ),
    "hugepages-name-host-nodes": (
        "<memoryBacking><hugepages><page size='2' unit='MiB' nodeset='1'/></hugepages></memoryBacking>",
        "<memoryBacking><hugepages><page size='2' unit='MiB' nodeset='0'/></hugepages></memoryBacking>",
    ),
}
"""Rule -> the inside of a domain that offends it, and of one that does not."""
WIDE = ("sockets-not-cells", "pins-over-siblings", "threads-that-are-none")
"""Rules that are shown on a guest of eight vCPUs in two cells, the others on a flat one of two."""


def with_xml(build: Build, folder: Path, rule: str, bad: bool) -> Fleet:
    """Return a fleet of one VM with domain XML."""
    from placer.model.vm import DomainSource

    data = f"<domain>{XML[rule][0 if bad else 1]}</domain>".encode()
    (folder / "v.xml").write_bytes(data)
    spec = build.spec(8, 2, cells=2) if rule in WIDE else build.spec(2, 2)
    # vCPUs of one guest core on two host cores, where that is what the rule is about.
    step = 2 if rule == "threads-that-are-none" else 1
    pins = {vcpu: frozenset({vcpu * step % 8}) for vcpu in range(spec.vcpus // step)}
    vm = build.vm("v", spec, current=build.now(pins=pins, emulator=frozenset({1})))
    vm = replace(vm, domain=DomainSource(path="v.xml", sha256=hashlib.sha256(data).hexdigest()))
    made: Fleet = build.fleet([build.host()], [vm], base_dir=str(folder))
    return made


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_rule_speaks_and_is_silent(build: Build, tmp_path: Path, rule: str) -> None:
    """Every rule names its offence with a cure, and says nothing of the twin without it."""
    make: Callable[[bool], Fleet] = (
        (lambda bad: three_cells(build, tmp_path, (12, 21) if bad else (21, 12)))
        if rule == "distances-that-mislead"
        else (lambda bad: with_xml(build, tmp_path, rule, bad))
        if rule in XML
        else (lambda bad: without_xml(build, rule, bad))
    )
    offended = [remark for remark in lint(make(True), source_xml) if remark.rule == rule]
    assert len(offended) == 1 and offended[0].cure and "'" in offended[0].subject
    assert rule not in rules_of(make(False))


def test_thp_always_beside_huge_pages(build: Build) -> None:
    """Transparent huge pages that are always on are named only where VMs have huge pages of their own."""
    host = build.host(settings=HostSettings(thp="always"))
    assert "thp" in rules_of(build.fleet([host], [build.vm("v", build.spec(page_kib=2048))]))
    assert "thp" not in rules_of(build.fleet([host], [build.vm("v", build.spec())]))


def test_unknown_settings_say_nothing(build: Build) -> None:
    """A host that tells nothing of its settings is not accused of anything."""
    assert not rules_of(build.fleet([build.host()], [build.vm("v", build.spec(), current=build.now())]))


def test_hostile_name_stays_on_one_line(build: Build) -> None:
    """A newline in a VM's name does not forge a second remark."""
    remarks = lint(
        build.fleet([build.host()], [build.vm("a\nodd-vcpus: b", build.spec(5, 2, cells="auto"))]), source_xml
    )
    assert len(remarks) == 1 and "\n" not in str(remarks[0])


def test_guest_threads_on_a_host_without_any(build: Build, tmp_path: Path) -> None:
    """Two threads a core over whole cores, and beside siblings that a policy keeps idle, are told apart."""
    fleet = with_xml(build, tmp_path, "threads-that-are-none", bad=True)
    bare = replace(fleet.hosts[0], topology=build.topology(threads=1))
    said = [remark.message for remark in lint(replace(fleet, hosts=(bare,)), source_xml)]
    assert "the guest sees 2 threads a core, the host has one" in said
    untold = replace(bare, topology=replace(bare.topology, assumptions=(f"{THREADS_UNTOLD}: every CPU counts",)))
    assert not any("threads a core" in one.message for one in lint(replace(fleet, hosts=(untold,)), source_xml))
    alone = replace(fleet.vms[0], spec=replace(fleet.vms[0].spec, thread_policy=ThreadPolicy.ISOLATE))
    said = [remark.message for remark in lint(replace(fleet, vms=(alone,)), source_xml)]
    assert any("leaves the siblings idle" in message for message in said)


def test_a_wide_cell_is_named_only_where_it_would_share_cores(build: Build, tmp_path: Path) -> None:
    """Guest threads explain it, known pins tell more, and what floats or is shared runs where there is room."""
    spec = build.spec(3, 2, cells=1)
    for vm in (
        build.vm("v", spec, current=build.now(nodes=None)),
        build.vm("v", spec, current=build.now(pins={n: frozenset({n}) for n in range(3)})),
        build.vm("v", replace(spec, cpu_policy=CpuPolicy.SHARED), current=build.now()),
    ):
        assert "cell-wider-than-cores" not in rules_of(build.fleet([build.host()], [vm]))
    assert "cell-wider-than-cores" in rules_of(build.fleet([build.host()], [build.vm("v", spec)]))


def of_xml(build: Build, folder: Path, inside: str, **more: Any) -> Fleet:
    """Return a fleet of one VM read from a domain with this in it, on a host of two nodes of 4 CPUs in 2 cores."""
    import yaml

    nodes = [{"id": node, "cpus": f"{node * 4}-{node * 4 + 3}", "memory": "16GiB"} for node in range(2)]
    pairs = [f"{cpu},{cpu + 1}" for cpu in range(0, 8, 2)]
    host = {"name": "a", "nodes": nodes, "siblings": pairs, "distances": [[10, 21], [21, 10]], **more}
    (folder / "v.xml").write_text(f"<domain type='kvm'><name>v</name><memory unit='GiB'>2</memory>{inside}</domain>")
    document = {"schema": "placer.inventory/v1", "hosts": [host], "vms": [{"domain": "v.xml", "host": "a"}]}
    (folder / "fleet.yaml").write_text(yaml.safe_dump(document))
    return read_fleet(folder / "fleet.yaml")


def pinned(*cpus: int, more: str = "") -> str:
    """Return vCPUs each on one CPU, which are also the default cpuset, in XML."""
    pins = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpu}'/>" for vcpu, cpu in enumerate(cpus))
    listed = ",".join(str(cpu) for cpu in sorted(set(cpus)))
    return f"<vcpu cpuset='{listed}'>{len(cpus)}</vcpu><cputune>{pins}{more}</cputune>"


def test_memory_policies_are_of_cells_by_their_ids(build: Build, tmp_path: Path) -> None:
    """Cells with the ids 1 and 2 have the policies of cells 1 and 2, not those of the first and second place."""
    cells = "".join(f"<cell id='{n}' cpus='{n - 1}' memory='1' unit='GiB'/>" for n in (1, 2))
    nodes = "".join(f"<memnode cellid='{n}' mode='strict' nodeset='{n - 1}'/>" for n in (1, 2))
    rest = f"<numatune><memory nodeset='0-1'/>{nodes}</numatune><cpu><numa>{cells}</numa></cpu>"
    assert "memory-far-from-pins" not in rules_of(of_xml(build, tmp_path, pinned(0, 4) + rest))
    assert "memory-far-from-pins" in rules_of(of_xml(build, tmp_path, pinned(4, 0) + rest))


def test_cpus_without_memory_near_them_are_not_blamed(build: Build, tmp_path: Path) -> None:
    """vCPUs on a node without memory are far from all of it, wherever it is bound."""
    nodes = [{"id": 0, "cpus": "0-3", "memory": "16GiB"}, {"id": 1, "cpus": "4-7", "memory": "0GiB"}]
    inside = pinned(4, 6) + "<numatune><memory mode='strict' nodeset='0'/></numatune>"
    assert "memory-far-from-pins" not in rules_of(of_xml(build, tmp_path, inside, nodes=nodes))
    assert "memory-far-from-pins" in rules_of(of_xml(build, tmp_path, inside))


def test_cells_that_are_needed_are_not_too_many(build: Build) -> None:
    """Cells of memory alone, vCPUs alone on cores, counts that do not divide, devices and neighbours explain cells."""
    rule = "more-cells-than-needed"
    assert rule in rules_of(build.fleet([build.host()], [build.vm("v", build.spec(4, 2, cells=2))]))
    alone = build.spec(4, 2, cells=2, thread_policy=ThreadPolicy.ISOLATE)
    memory_alone = replace(
        build.spec(2, 2, cells=1),
        memory_kib=3 * GIB,
        cells=(Cell(vcpus=frozenset({0, 1}), memory_kib=2 * GIB), Cell(vcpus=frozenset(), memory_kib=GIB)),
    )
    near = build.spec(4, 2, cells=2, devices=(DeviceRequest(kind="gpu", policy="required", per="cell"),))
    wide = build.host(topology=build.topology(nodes=4, cpus=6))
    for host, spec in (
        (build.host(), alone),
        (build.host(), memory_alone),
        (build.host(), near),
        (wide, build.spec(16, 2, cells=4)),
    ):
        assert rule not in rules_of(build.fleet([host], [build.vm("v", spec)])), spec
    here = [build.vm("v", build.spec(4, 2, cells=2), current=build.now(nodes=(0, 1)))]
    neighbours = [build.vm(f"n{node}", current=build.now(nodes=(node,))) for node in range(2)]
    assert rule in rules_of(build.fleet([build.host()], here))
    assert rule not in rules_of(build.fleet([build.host()], here + neighbours))


def test_sockets_that_no_cell_cuts_are_sound(build: Build, tmp_path: Path) -> None:
    """Cells of 4 and 2 vCPUs in three sockets of two each are whole sockets; two sockets of three are cut."""
    listed = enumerate(("0-3", "4-5"))
    cells = "".join(f"<cell id='{n}' cpus='{cpus}' memory='1' unit='GiB'/>" for n, cpus in listed)
    for sockets, wrong in ((3, False), (2, True)):
        topology = f"<topology sockets='{sockets}' cores='{6 // sockets}' threads='1'/>"
        fleet = of_xml(build, tmp_path, f"<vcpu>6</vcpu><cpu>{topology}<numa>{cells}</numa></cpu>")
        assert ("sockets-not-cells" in rules_of(fleet)) is wrong


def test_cells_may_be_the_dies_of_one_socket(build: Build, tmp_path: Path) -> None:
    """Cells that are dies of one socket, or clusters of one die, are as real hosts have them."""
    cells = "<cell id='0' cpus='0-3' memory='4096'/><cell id='1' cpus='4-7' memory='4096'/>"
    for levels, wrong in (
        ("dies='2' clusters='2' cores='2'", False),
        ("clusters='2' cores='4'", False),
        ("cores='8'", True),
    ):
        shown = f"<topology sockets='1' {levels} threads='1'/>"
        fleet = of_xml(build, tmp_path, f"<vcpu>8</vcpu><cpu>{shown}<numa>{cells}</numa></cpu>")
        assert ("sockets-not-cells" in rules_of(fleet)) is wrong


def test_restrictive_memory_may_be_far_too(build: Build, tmp_path: Path) -> None:
    """What the cgroup binds is bound; what is only preferred is not."""
    for mode, far in (("restrictive", True), ("preferred", False)):
        inside = pinned(0, 1) + f"<numatune><memory mode='{mode}' nodeset='1'/></numatune>"
        assert ("memory-far-from-pins" in rules_of(of_xml(build, tmp_path, inside))) is far


def test_an_emulator_pin_that_is_the_default_is_none(build: Build, tmp_path: Path) -> None:
    """Emulator threads over all CPUs of <vcpu cpuset> are where they would be anyway; on one vCPU they weigh on it."""
    for cpus, said in (("0-1", False), ("0", True)):
        inside = pinned(0, 1, more=f"<emulatorpin cpuset='{cpus}'/>")
        assert ("emulator-on-own-cpus" in rules_of(of_xml(build, tmp_path, inside))) is said
        alone = inside.replace("<vcpu cpuset='0,1'>", "<vcpu>")
        assert "emulator-on-own-cpus" in rules_of(of_xml(build, tmp_path, alone))


def test_threads_on_the_default_cpus_less_those_of_real_time_are_no_fault(build: Build, tmp_path: Path) -> None:
    """So a plan leaves them where the host keeps no CPU for them: on those of the other vCPUs."""
    rules = "<vcpusched vcpus='0' scheduler='fifo' priority='1'/><emulatorpin cpuset='1'/>"
    pins = pinned(0, 1, more=rules + "<iothreadpin iothread='1' cpuset='1'/>")
    inside = f"<iothreads>1</iothreads>{pins}"
    assert not {"emulator-on-own-cpus", "iothread-on-vcpu"} & rules_of(of_xml(build, tmp_path, inside))
    other = inside.replace("<vcpusched vcpus='0' scheduler='fifo' priority='1'/>", "")
    assert {"emulator-on-own-cpus", "iothread-on-vcpu"} <= rules_of(of_xml(build, tmp_path, other))


def test_memory_that_no_host_file_tells_is_not_too_little(build: Build, tmp_path: Path) -> None:
    """A node of which nothing is known may hold any cell."""
    unknown = [{"id": 0, "cpus": "0-7"}]
    fleet = of_xml(build, tmp_path, "<vcpu>2</vcpu>", nodes=unknown, distances=[[10]])
    assert "memory-over-node" not in rules_of(fleet)


def test_vcpus_share_a_cpu_where_overcommit_has_it_so(build: Build, tmp_path: Path) -> None:
    """Beside dedicated vCPUs two others may share the one CPU that is left, as far as the host is overcommitted."""
    inside = pinned(4, 6, 7, 7)
    assert "vcpus-on-one-cpu" in rules_of(of_xml(build, tmp_path, inside))
    assert "vcpus-on-one-cpu" not in rules_of(of_xml(build, tmp_path, inside, overcommit=2))


def test_memory_on_a_node_without_cpus_is_meant(build: Build, tmp_path: Path) -> None:
    """Strict memory of an expander is far from every CPU: nobody need be told."""
    fleet = with_xml(build, tmp_path, "memory-far-from-pins", bad=True)
    bare = replace(fleet.hosts[0], topology=build.topology(nodes=2, memory_only=(1,)))
    assert "memory-far-from-pins" not in rules_of(replace(fleet, hosts=(bare,)))


def three_cells(build: Build, folder: Path, away: tuple[int, int], ids: tuple[int, ...] = (0, 1, 2)) -> Fleet:
    """Return a guest of three cells on as many nodes, its first one so far from the others; on the host 21 and 12."""
    rows = ((10, *away), (away[0], 10, 31), (away[1], 31, 10))
    siblings = ("".join(f"<sibling id='{ids[k]}' value='{value}'/>" for k, value in enumerate(row)) for row in rows)
    cells = "".join(
        f"<cell id='{ids[n]}' cpus='{n}' memory='1' unit='GiB'><distances>{said}</distances></cell>"
        for n, said in enumerate(siblings)
    )
    nodes = "".join(f"<memnode cellid='{ids[n]}' mode='strict' nodeset='{n}'/>" for n in range(3))
    rest = f"<numatune><memory nodeset='0-2'/>{nodes}</numatune><cpu><numa>{cells}</numa></cpu>"
    host = [{"id": node, "cpus": f"{node * 4}-{node * 4 + 3}", "memory": "16GiB"} for node in range(3)]
    cores = [f"{cpu},{cpu + 1}" for cpu in range(0, 12, 2)]
    real = [[10, 21, 12], [21, 10, 31], [12, 31, 10]]
    return of_xml(build, folder, pinned(0, 4, 8) + rest, nodes=host, siblings=cores, distances=real)


def test_guest_distances_are_of_cells_by_their_ids(build: Build, tmp_path: Path) -> None:
    """Cells that are not counted from 0 are held against their own nodes, and equal distances mislead nobody."""
    assert "distances-that-mislead" in rules_of(three_cells(build, tmp_path, (12, 21), (1, 2, 3)))
    assert "distances-that-mislead" not in rules_of(three_cells(build, tmp_path, (21, 12), (1, 2, 3)))
    assert "distances-that-mislead" not in rules_of(three_cells(build, tmp_path, (20, 20)))


def test_cells_with_reasons_of_their_own_are_not_blamed(build: Build) -> None:
    """One cell holds vCPUs that are not plugged as it holds all, as oVirt writes every guest; two cells of 2 MiB and
    of ordinary pages are for their pages.
    """
    plugged = build.spec(8, 2, cells=1, vcpus_current=4)
    paged = build.spec(4, 2, cells=2)
    paged = replace(paged, cells=(replace(paged.cells[0], page_kib=2048), paged.cells[1]))
    for spec, rule in ((plugged, "hotplug-with-numa"), (paged, "more-cells-than-needed")):
        assert rule not in rules_of(build.fleet([build.host()], [build.vm("v", spec)]))
