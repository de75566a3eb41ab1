"""What a plan leaves as it is: the XML keeps every byte, and no script touches it."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from placer.emit.domain.domain_xml import patch_domain
from placer.emit.domain.files import domain_files
from placer.emit.moves.ticket import ticket
from placer.emit.qemu import qemu_arguments
from placer.emit.tables import csv_table
from placer.emit.virsh import virsh_script
from placer.explain.diff import Difference, compare_states, compare_with_now
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Change, Plan, PlanVm
from placer.model.vm import Bound, Current, DomainSource, MemoryMode, Vm, VmSpec
from placer.moves.changes import plan_changes
from placer.planner import solve_fleet
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import current_of
from placer.read.inventory.inventory import read_fleet
from placer.show.change_words import change_sentences
from placer.show.differences import difference_csv, difference_sentences

Place = Callable[..., PlanVm]
FleetOf = Callable[..., Fleet]
Planned = Callable[..., Plan]

GUEST = """<?xml version="1.0" encoding="ISO-8859-1"?>\r
<domain type="kvm">\r
  <name>g</name><title>gr\xfc\xdfe</title>\r
  <memory>4096</memory>\r
  <vcpu cpuset="0,2,4,6">2</vcpu>\r
  {tune}\r
  <numatune><memory mode="{mode}" nodeset="0"/></numatune>\r
  <os><type>hvm</type></os>\r
</domain>\r
"""


@pytest.fixture
def guest(tmp_path: Path, host: Host) -> Callable[..., tuple[Vm, bytes]]:
    """Return a maker of guests that are on node 0 of the host: in Latin-1, with the line ends of another system."""

    def guest(tune: str = "", mode: str = "preferred") -> tuple[Vm, bytes]:
        xml = GUEST.format(tune=tune, mode=mode).encode("latin-1")
        (tmp_path / "g.xml").write_bytes(xml)
        reading = read_domain(xml, "g.xml")
        source = DomainSource(path="g.xml", sha256=hashlib.sha256(xml).hexdigest(), memory_modes=reading.memory_modes)
        now = current_of(reading, host.name, host.topology)
        return Vm(name="g", spec=reading.spec, domain=source, current=now), xml

    return guest


def kept(vm: Vm, place: Place, **fields: object) -> PlanVm:
    """Return the plan that leaves a guest with its pins on node 0."""
    assert vm.current is not None
    return place(vm.spec, (0,), **{"name": vm.name, "pins": vm.current.pins, **fields})


def test_what_stays_keeps_every_byte(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, planned: Planned, fleet_of: FleetOf
) -> None:
    """Encoding, line ends, quotes, a soft memory policy and threads without a pin are as they were; no script lines."""
    vm, xml = guest()
    plan = planned(kept(vm, place, emulator=frozenset({0, 2, 4, 6})))
    assert domain_files(plan, fleet_of(vm)) == {"kvm-a/g.xml": xml}
    script = virsh_script(plan, fleet_of(vm))
    assert not re.search(rb"^ +(if )?(domain|vcpu|emulator|memory) ", script, re.MULTILINE)
    subprocess.run(["bash", "-n"], input=script, check=True)


def test_a_cpuset_that_follows_is_the_only_change(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, planned: Planned, fleet_of: FleetOf
) -> None:
    """Where dedicated vCPUs come, the sets of those that stay shrink: their vcpupin, and nothing else."""
    vm, _ = guest()
    less = dict.fromkeys(range(2), frozenset({4, 6}))
    plan = planned(kept(vm, place, pins=less))
    (xml,) = domain_files(plan, fleet_of(vm)).values()
    after = read_domain(xml, "g.xml")
    assert after.pins == less and after.emulator is None
    assert after.numatune.memory is not None and after.numatune.memory.mode == "preferred"
    script = virsh_script(plan, fleet_of(vm)).decode()
    assert "    vcpu 0 4,6\n    vcpu 1 4,6\n  fi" in script


@pytest.mark.parametrize("tune", ["<cputune><emulatorpin cpuset='1'/></cputune>", ""])
def test_an_emulatorpin_that_the_plan_changes_is_written(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, planned: Planned, fleet_of: FleetOf, tune: str
) -> None:
    """What the fleet says of the emulator beside the XML goes into the XML."""
    vm, xml = guest(tune)
    assert vm.current is not None
    now = replace(vm.current, emulator=frozenset({3}))
    plan = planned(kept(vm, place, emulator=frozenset({3})))
    (made,) = domain_files(plan, fleet_of(replace(vm, current=now))).values()
    assert made != xml and read_domain(made, "g.xml").emulator == {3}


@pytest.mark.parametrize("mode", ["preferred", "restrictive", "strict"])
def test_another_node_in_the_mode_it_has(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, host: Host, mode: str
) -> None:
    """A guest that goes to another node is bound to that as softly as it was to the old one."""
    vm, xml = guest(mode=mode)
    plan = place(vm.spec, (1,), name=vm.name, change=Change.RENODE)
    policy = read_domain(patch_domain(xml, plan, vm.spec, host, known=vm), "g.xml").numatune.memory
    assert policy is not None and (policy.mode, policy.nodeset) == (mode, {1})


def test_the_mode_that_is_asked_for_stands_above_the_domain(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, host: Host
) -> None:
    """Where a plan writes the policy it is the inventory's."""
    for said, asked in (("strict", "restrictive"), ("preferred", "strict")):
        vm, xml = guest(mode=said)
        spec = replace(vm.spec, memory_mode=MemoryMode(asked))
        plan = place(spec, (1,), name=vm.name, change=Change.RENODE)
        policy = read_domain(patch_domain(xml, plan, spec, host, known=vm), "g.xml").numatune.memory
        assert policy is not None and (policy.mode, policy.nodeset) == (asked, {1})
    spec = VmSpec(vcpus=2, memory_kib=4096, memory_mode=MemoryMode.RESTRICTIVE)
    made = patch_domain(None, place(spec, (0, 1), name="new", new_cells=True), spec, host)
    assert made.count(b"mode='restrictive'") == 3 and b"strict'" not in made
    line = " ".join(qemu_arguments(place(spec, (0, 1), name="new", new_cells=True), spec, host))
    assert "policy=" not in line


@pytest.mark.parametrize(
    ("said", "asked"), [("strict", "restrictive"), ("preferred", "strict"), ("restrictive", None), ("strict", "strict")]
)
def test_a_vm_that_stays_has_the_mode_that_is_asked_for(
    guest: Callable[..., tuple[Vm, bytes]],
    place: Place,
    host: Host,
    planned: Planned,
    fleet_of: FleetOf,
    said: str,
    asked: str | None,
) -> None:
    """The mode alone changes in its XML and its script, which no running guest can have; as asked, not a byte does."""
    vm, xml = guest(mode=said)
    vm = replace(vm, spec=replace(vm.spec, memory_mode=None if asked is None else MemoryMode(asked)))
    plan = kept(vm, place, emulator=frozenset({0, 2, 4, 6}))
    made = patch_domain(xml, plan, vm.spec, host, known=vm)
    script = virsh_script(planned(plan), fleet_of(vm)).decode()
    calls = re.findall(r"^    (?:vcpu|emulator|memory|stored_memory|cells) .*$", script, re.MULTILINE)
    if asked in (None, said):
        assert (made, calls) == (xml, [])
        return
    now, before = read_domain(made, "g.xml"), read_domain(xml, "g.xml")
    policy = now.numatune.memory
    assert policy is not None and (policy.mode, policy.nodeset) == (asked, {0})
    assert (now.pins, now.emulator, b"cputune" in made) == (before.pins, before.emulator, False)
    assert calls == [f"    stored_memory {asked} 0"]


def test_another_memory_mode_is_named_wherever_changes_are(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, planned: Planned, fleet_of: FleetOf
) -> None:
    """Diff, CSV, sentences and ticket say whose mode becomes which; as asked already, nothing differs."""
    vm, _ = guest(mode="strict")
    for asked, changes in (("restrictive", True), ("strict", False)):
        known = replace(vm, spec=replace(vm.spec, memory_mode=MemoryMode(asked)))
        plan, fleet = planned(kept(known, place)), fleet_of(known)
        compared = compare_with_now(fleet, plan)
        told = {
            "diff": compared.vms[0].difference is Difference.MEMORY_MODE and not compared.same,
            "diff --format csv": difference_csv(compared).rstrip().endswith(",strict,restrictive,"),
            "sentences": any(line.endswith(": g strict → restrictive.") for line in difference_sentences(compared)),
            "csv": b'"memory mode restrictive, was strict"' in csv_table(plan, fleet),
            "ticket": b"1 VM (g) is bound in mode restrictive, not strict" in ticket(plan, fleet),
        }
        assert told == dict.fromkeys(told, changes)
        assert any("Nothing changes" in line for line in change_sentences(plan_changes(fleet, plan))) is not changes


def test_inventories_whose_domains_bind_memory_otherwise_differ(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, planned: Planned, fleet_of: FleetOf
) -> None:
    """Between two weeks a mode that is another is told, and where a plan asks for one it is that."""
    strict, soft = (fleet_of(guest(mode=mode)[0]) for mode in ("strict", "preferred"))
    (differs,) = compare_states(strict, None, soft, None).vms
    assert (differs.difference, differs.memory_modes) == (Difference.MEMORY_MODE, ("strict", "preferred"))
    asked = replace(soft.vms[0], spec=replace(soft.vms[0].spec, memory_mode=MemoryMode.STRICT))
    assert compare_states(strict, None, fleet_of(asked), planned(kept(asked, place))).same


def test_interleaved_memory_of_a_vm_that_stays_stays_so(
    guest: Callable[..., tuple[Vm, bytes]], place: Place, host: Host
) -> None:
    """A mode is of memory on one node."""
    vm, xml = guest(mode="interleave")
    vm = replace(vm, spec=replace(vm.spec, memory_mode=MemoryMode.RESTRICTIVE))
    assert patch_domain(xml, kept(vm, place, emulator=frozenset({0, 2, 4, 6})), vm.spec, host, known=vm) == xml


def test_what_floats_everywhere_on_its_next_host_is_pinned_nowhere(
    place: Place, host: Host, planned: Planned, fleet_of: FleetOf, tmp_path: Path
) -> None:
    """A VM that was pinned nowhere comes without a cpuset of its new host; one that had pins loses them."""
    everywhere = dict.fromkeys(range(2), host.topology.cpus)
    for tune, script in (("", ""), ("<cputune><vcpupin vcpu='0' cpuset='3'/></cputune>", "vcpu 0 0-15")):
        body = f"<vcpu>2</vcpu>{tune}<os><type>hvm</type></os>"
        xml = f"<domain type='kvm'><name>g</name><memory>4096</memory>{body}</domain>".encode()
        (tmp_path / "g.xml").write_bytes(xml)
        source = DomainSource(path="g.xml", sha256=hashlib.sha256(xml).hexdigest())
        vm = Vm(name="g", spec=read_domain(xml, "g.xml").spec, domain=source, current=Current(host="b"))
        floating = place(vm.spec, (0,), name="g", pins=everywhere, change=Change.MIGRATE, from_host="b")
        cells = (replace(floating.cells[0], mode="floats", nodes={}),)
        floating = replace(floating, emulator=None, bound=(Bound(),), cells=cells)
        written = patch_domain(xml, floating, vm.spec, host, known=vm)
        assert b"cpuset" not in written and b"vcpupin" not in written
        fleet = replace(fleet_of(vm), base_dir=str(tmp_path))
        assert (script in virsh_script(planned(floating), fleet).decode()) and (
            bool(script) == ("vcpu 0" in virsh_script(planned(floating), fleet).decode())
        )


def test_pins_to_cpus_that_the_host_lacks_stay(tmp_path: Path) -> None:
    """A domain that stays is exported as it is, whatever it names that its host has not."""
    xml = b"<domain type='kvm'><name>g</name><memory>4096</memory><vcpu>2</vcpu><cputune>%s</cputune></domain>"
    pins = b"<vcpupin vcpu='0' cpuset='0,99'/><vcpupin vcpu='1' cpuset='98'/>"
    (tmp_path / "g.xml").write_bytes(xml % pins)
    (tmp_path / "f.yaml").write_text(
        'schema: placer.inventory/v1\nhosts: [{name: h, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}]}]\n'
        'vms: [{domain: g.xml, host: h, pins: {0: "0"}}]\n'
    )
    fleet = read_fleet(tmp_path / "f.yaml")
    plan = solve_fleet(fleet, time_limit_s=20, workers=1)
    assert plan.vms[0].change is Change.NONE
    assert list(domain_files(plan, fleet).values()) == [xml % pins]
