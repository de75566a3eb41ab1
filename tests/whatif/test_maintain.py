"""Maintenance: each host empty once, every state accepted, bounds that hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from placer.check.check import check
from placer.cli.app import main
from placer.emit.moves.maintenance import maintenance_files, nights_of
from placer.errors import InputError
from placer.failures.sweep import sweep_failures
from placer.model.fleet import Fleet
from placer.model.rules import Rule, RuleKind
from placer.moves.model import MoveLimits
from placer.options import SweepOptions
from placer.planner import solve_fleet
from placer.read.inventory.inventory import parse_fleet
from placer.sweeps.tasks import Variant
from placer.whatif.maintain import Maintenance, maintain
from placer.whatif.out_together import fewest_bins
from placer.whatif.takers import parts

TEXT = """\
schema: placer.inventory/v1
hosts: [{name: h, count: HOSTS, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}], labels: {rack: r1}}]
vms:
VMS
rules: [{reserve: {fail: 1, scope: host}}]
"""


def made(load: list[int], more: str = "") -> Fleet:
    """Return hosts with so many VMs of two vCPUs each, of which one may fail."""
    vms = [
        f"  - {{name: v{host}-{number}, vcpus: 2, memory: 2GiB, cells: none, host: h-{host}, nodes: [0]{more}}}"
        for host, many in enumerate(load, start=1)
        for number in range(many)
    ]
    text = TEXT.replace("HOSTS", str(len(load))).replace("VMS", "\n".join(vms))
    return parse_fleet(text.encode(), "fleet.yaml", Path())


def verify(fleet: Fleet, hosts: list[str], found: Maintenance, parallel: int) -> None:
    """Every host is in one wave; each leaves its hosts empty, in a state that survives a failure."""
    assert sorted(name for wave in found.waves for name in wave.hosts) == sorted(hosts)
    state = fleet
    for wave in found.waves:
        assert len(wave.hosts) <= parallel and wave.before.vms == state.vms
        assert not any(vm.current is not None and vm.current.host in wave.hosts for vm in wave.after.vms)
        assert len(wave.after.vms) == len(fleet.vms) and all(vm.current is not None for vm in wave.after.vms)
        assert not wave.schedule.blocked and not wave.schedule.remaining
        plan = dataclasses.replace(wave.plan, fleet_digest=wave.before.digest, goals=(), options={}, summary={})
        report = check(dataclasses.replace(wave.before, digest=plan.fleet_digest), plan)
        assert report.ok, report.faults
        down = dataclasses.replace(
            wave.before,
            hosts=tuple(dataclasses.replace(h, failed=h.name in wave.hosts) for h in wave.before.hosts),
            rules=(),
        )
        sweep = sweep_failures(Variant(name="down", fleet=down), wave.plan, "host", SweepOptions(time_limit_s=10))
        assert wave.reserve and not sweep.harmful and not sweep.unknown
        state = wave.after
    assert found.waves_bound <= len(found.waves) and found.moves_bound <= found.moves


@pytest.mark.parametrize(("load", "parallel"), [([2, 2, 1, 0, 1], 1), ([1, 1, 1, 1, 0, 0], 2)])
def test_every_host_is_empty_once(load: list[int], parallel: int) -> None:
    """N+1 is kept in every state, and the waves are the fewest there are."""
    fleet = made(load)
    hosts = [host.name for host in fleet.hosts]
    found = maintain(fleet, hosts, parallel=parallel, time_limit_s=5)
    verify(fleet, hosts, found, parallel)
    assert len(found.waves) == found.waves_bound == -(-len(load) // parallel)


def test_no_more_hosts_go_than_the_others_can_carry() -> None:
    """Three hosts hold eight VMs of four each: one at a time can be out, whatever is allowed; the bound knows it."""
    fleet = dataclasses.replace(made([3, 3, 2]), rules=())
    found = maintain(fleet, ["h-1", "h-2", "h-3"], parallel=3, time_limit_s=5)
    assert (len(found.waves), found.waves_bound, found.moves_bound) == (3, 3, 8)


def test_what_cannot_move_is_named() -> None:
    """A host with an immovable VM is stuck, with its name; unknown hosts are refused."""
    fleet = made([1, 1, 0], more=", movable: 'false'")
    found = maintain(fleet, ["h-1", "h-3"], time_limit_s=5)
    assert [wave.hosts for wave in found.waves] == [("h-3",)] and "v1-0" in found.stuck["h-1"]
    with pytest.raises(InputError, match="h-9"):
        maintain(fleet, ["h-9"])


def test_files_and_nights() -> None:
    """Each wave has a script, a ticket and an inventory that is read back; nights hold what fits, one wave at least."""
    found = maintain(made([1, 1, 0, 0]), ["h-1", "h-2"], limits=MoveLimits(bandwidth_gib_s=0.01), time_limit_s=5)
    files = maintenance_files(found, None)
    assert sorted(files) == sorted(
        ["maintenance.md", *(f"wave-0{n}.{ending}" for n in (1, 2) for ending in ("sh", "md", "yaml"))]
    )
    assert len(parse_fleet(files["wave-02.yaml"], "w", Path()).vms) == 2
    assert nights_of(found.waves, 10.0, 1000.0) == [1, 1] and nights_of(found.waves, 10.0, 1.0) == [1, 2]
    assert nights_of(found.waves, 10.0, None) is None


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Hosts by label; waves with their bound; a stuck host ends with 8."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        TEXT.replace("HOSTS", "3").replace("VMS", "  - {name: a, vcpus: 2, memory: 1GiB, cells: none, host: h-1}")
    )
    assert main(["maintain", str(path), "--hosts", "rack=r1", "-o", str(tmp_path / "out"), "--json", "-q"]) == 0
    result = json.loads(capsys.readouterr().out)["result"]
    assert result["waves_count"] == {"value": 3, "bound": 3} and (tmp_path / "out/wave-03.sh").exists()
    path.write_text(path.read_text().replace("host: h-1}", "host: h-1, movable: 'false'}"))
    assert main(["maintain", str(path), "-q"]) == 8
    assert main(["maintain", str(path), "--per-night", "2h", "-q"]) == 2
    assert main(["maintain", str(path), "--hosts", "rack=r9", "-q"]) == 2


def test_vms_go_home_once_their_host_is_done() -> None:
    """Each wave ends as it began: whoever was moved goes back to its host and node, in an order of its own."""
    fleet = made([2, 2, 1, 0])
    hosts = [host.name for host in fleet.hosts]
    found = maintain(fleet, hosts, parallel=1, return_home=True, time_limit_s=5)
    assert [wave.hosts for wave in found.waves] and not found.stuck
    for wave in found.waves:
        assert wave.after.vms == fleet.vms == wave.before.vms
        assert not any(vm.current is not None and vm.current.host in wave.hosts for vm in wave.away.vms)
        assert wave.home is not None and not wave.home.blocked
        back = {step.vm: step.target for one in wave.home.waves for step in one.steps}
        out = {step.vm for one in wave.schedule.waves for step in one.steps}
        assert set(back) == out
        for name, place in back.items():
            now = fleet.vm_by_name[name].current
            assert now is not None and (place.host, place.nodes) == (now.host, now.nodes)
    assert found.moves == found.moves_bound == 10
    files = maintenance_files(found, None)
    assert "wave-01.sh" in files and sum(name.endswith("-home.sh") for name in files) == len(found.waves)


def test_who_has_no_home_stays_where_a_wave_puts_it() -> None:
    """A VM that is still to be placed, or whose host failed, is at home where the first wave puts it."""
    text = """\
schema: placer.inventory/v1
hosts:
  - {name: h, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}]}
  - {name: dead, failed: true, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}]}
vms:
  - {name: a, vcpus: 2, memory: 2GiB, cells: none, host: h-1, nodes: [0]}
  - {name: b, vcpus: 2, memory: 2GiB, cells: none, host: dead, nodes: [0]}
  - {name: new, vcpus: 2, memory: 2GiB, cells: none}
"""
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    found = maintain(fleet, ["h-1", "h-2"], parallel=1, return_home=True, time_limit_s=5)
    assert not found.stuck and len(found.waves) == 2
    steps = [step for wave in found.waves for one in wave.home.waves for step in one.steps if wave.home is not None]
    assert all(step.target.host != "dead" for step in steps)
    last = found.waves[-1].after.vm_by_name
    assert last["a"].current == fleet.vm_by_name["a"].current
    assert all(last[name].current is not None and last[name].current.host != "dead" for name in ("b", "new"))


def test_a_part_of_many_hosts_is_planned() -> None:
    """On forty hosts a wave is planned among those with room, first those that are done: nobody moves twice, and the
    whole fleet is accepted after it; where a rule ties VMs together the whole fleet is planned.
    """
    fleet = dataclasses.replace(made([3] * 39 + [0]), rules=(), digest="")
    names = ["h-1", "h-2", "h-3"]
    found = maintain(fleet, names, time_limit_s=20)
    assert [len(wave.plan.vms) < len(fleet.vms) for wave in found.waves] == [True] * 3
    assert found.moves == found.moves_bound == 9 and found.moved_twice == 0 and not found.stuck
    state = fleet
    for wave in found.waves:
        assert wave.before.vms == state.vms and wave.before.hosts == fleet.hosts
        assert not any(vm.current is None or vm.current.host in wave.hosts for vm in wave.after.vms)
        state = wave.after
    assert check(state, solve_fleet(state, goals="placed,moves", max_moves=0, time_limit_s=20)).ok
    tied = Rule(kind=RuleKind.ANTI_AFFINITY, members={"name": "v1-0"}, scope="host")
    assert [len(part.hosts) for part in parts(dataclasses.replace(fleet, rules=(tied,)), names, [])] == [40]
    home = maintain(fleet, names, return_home=True, time_limit_s=20)
    assert home.moves == home.moves_bound == 18 and home.waves[-1].after.vms == fleet.vms


def test_parts_grow_to_the_whole_fleet() -> None:
    """Each part has the hosts that are emptied, the next has more of the others; hosts that are spared are in none."""
    fleet = dataclasses.replace(made([3] * 40), rules=(), digest="")
    found = [len(part.hosts) for part in parts(fleet, ["h-1"], [])]
    assert found == [8, 29, 40]
    spared = [host.name for host in fleet.hosts[1:30]]
    for part in parts(fleet, ["h-1"], spared):
        assert "h-1" in part.host_by_name and not set(spared) & set(part.host_by_name)
    assert list(parts(fleet, ["h-1"], [host.name for host in fleet.hosts[1:]])) == []


FIVE = """schema: placer.inventory/v1
hosts:
  - {{name: h, count: 5, overcommit: 2, nodes: [{{id: 0, cpus: "0-7", memory: 10GiB}}]}}
vms:
"""
SIX = """\
  - {{name: v{0}, vcpus: {1}, memory: {2}GiB, overhead: 0B, cells: none, cpu_policy: shared, host: h-{0}, nodes: [0]}}
"""


def test_as_many_hosts_go_together_as_can() -> None:
    """Three VMs of 6 GiB leave no three of five hosts of 10 GiB empty, though their sum would: two go, not one."""
    text = FIVE.format() + "".join(SIX.format(number, 2, 6) for number in (1, 2, 3))
    found = maintain(parse_fleet(text.encode(), "f.yaml", Path()), [f"h-{n}" for n in range(1, 6)], parallel=5)
    assert [len(wave.hosts) for wave in found.waves] == [2, 2, 1]
    assert (found.waves_bound, found.stuck) == (2, {})


def test_shared_vcpus_bound_how_many_hosts_go_together() -> None:
    """At two vCPUs a CPU 48 of them want three of five hosts, so two go at a time; three waves are the fewest."""
    lines = [SIX.format(number, 4, 2).replace("name: v", f"name: w{n}-") for number in (1, 2, 3, 4) for n in range(3)]
    fleet = parse_fleet((FIVE.format() + "".join(lines)).encode(), "f.yaml", Path())
    found = maintain(fleet, [f"h-{n}" for n in range(1, 6)], parallel=5)
    assert (found.stuck, len(found.waves)) == ({}, 3)
    assert found.waves_bound == 3


def test_bounds_are_of_the_hosts_that_are_emptied() -> None:
    """VMs wider than any other host's node stay, and their hosts count in no bound: one wave empties the empty host."""
    text = FIVE.format() + "".join(SIX.format(number, 12, 2) for number in (1, 2, 3, 4))
    found = maintain(parse_fleet(text.encode(), "f.yaml", Path()), [f"h-{n}" for n in range(1, 6)], parallel=5)
    assert (len(found.waves), found.waves_bound, found.moves_bound, len(found.stuck)) == (1, 1, 0, 4)


def test_waves_leave_room_for_the_failure_of_a_reserve() -> None:
    """Six hosts of eight CPUs, twenty of 48 taken: three can be out, but two if one more may fail; so three waves."""
    load = [2, 2, 2, 2, 1, 1]
    with_reserve = made(load)
    hosts = [host.name for host in with_reserve.hosts]
    found = maintain(with_reserve, hosts, parallel=6, time_limit_s=5)
    assert len(found.waves) == found.waves_bound == 3
    without = dataclasses.replace(with_reserve, rules=(), digest="")
    assert maintain(without, hosts, parallel=6, time_limit_s=5).waves_bound == 2


@pytest.mark.parametrize(
    ("sizes", "capacity", "bins"),
    [([3, 3, 3], 6, 2), ([4, 4, 4], 6, 3), ([4, 4, 3, 3], 6, 3), ([5, 1, 1], 6, 2), ([], 6, 0), ([9, 1], 6, 2)],
)
def test_bins_that_items_take_at_least(sizes: list[float], capacity: float, bins: int) -> None:
    """Items above half of a bin share it with none of their kind, and the rest fill what these leave."""
    assert fewest_bins(sizes, capacity) == bins
