"""New VMs in fleets where it is known by hand what has to give way."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from placer.cli.app import main
from placer.model.fleet import Fleet
from placer.model.goals import parse_flavor
from placer.planning.wanted import Wanted, wanted_flavor, wanted_like
from placer.read.inventory.inventory import parse_fleet
from placer.whatif.fit import fit as fit_within
from placer.whatif.fit_parts import Fit

TEXT = """\
schema: placer.inventory/v1
hosts: [{name: h, count: 2, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}]
vms:
"""
PINNED = '  - {name: NAME, vcpus: 2, memory: 1GiB, cells: none, host: HOST, nodes: [NODE], pins: {0: "A", 1: "B"}}\n'


def made(*vms: tuple[str, str, int, int, int], more: str = "") -> Fleet:
    """Return two hosts of two nodes of four CPUs and these VMs: name, host, node, CPUs."""
    text = TEXT
    for name, host, node, one, other in vms:
        line = PINNED.replace("NAME", name).replace("HOST", host).replace("NODE", str(node))
        text += line.replace('"A"', f'"{one}"').replace('"B"', f'"{other}"')
    return parse_fleet((text + more).encode(), "fleet.yaml", Path())


def fit(fleet: Fleet, wanted: Sequence[tuple[Wanted, int]], max_moves: int = 0) -> Fit:
    """Return what is found however busy the machine is."""
    return fit_within(fleet, wanted, max_moves=max_moves, time_limit_s=600)


def flavor(text: str) -> Wanted:
    """Return a VM of a flavor."""
    return wanted_flavor(parse_flavor(text))


def test_what_runs_is_not_touched_where_there_is_room() -> None:
    """The new VMs get CPUs that nobody has, on nodes with room for them."""
    fleet = made(("a", "h-1", 0, 0, 2), ("b", "h-1", 1, 5, 6))
    found = fit(fleet, [(flavor("2x1GiB"), 3), (flavor("4x1GiB"), 1)])
    assert (len(found.vms), found.unplaced, found.moved, found.repinned) == (4, (), (), ())
    taken: set[tuple[str, int]] = {("h-1", cpu) for cpu in (0, 2, 5, 6)}
    for vm in found.vms:
        own = {(vm.host, cpu) for pin in vm.pins.values() for cpu in pin}
        assert len(own) == len(vm.pins) and not own & taken
        taken |= own


def test_others_move_only_where_that_is_allowed_and_needed() -> None:
    """Two CPUs are free on each node: four on one take a move, which is named; without moves they have no place."""
    nodes = [("h-1", 0, 0), ("h-1", 1, 4), ("h-2", 0, 0), ("h-2", 1, 4)]
    fleet = made(*((f"v{n}", host, node, cpu, cpu + 1) for n, (host, node, cpu) in enumerate(nodes)))
    none = fit(fleet, [(flavor("4x1GiB"), 1)])
    assert (len(none.vms), len(none.unplaced), none.moved, none.proven) == (0, 1, (), True)
    one = fit(fleet, [(flavor("4x1GiB"), 1)], max_moves=3)
    assert len(one.vms) == 1 and len(one.moved) == 1
    assert {cpu for pin in one.vms[0].pins.values() for cpu in pin} in ({0, 1, 2, 3}, {4, 5, 6, 7})


def test_drained_hosts_take_nothing() -> None:
    """Rules that close hosts hold for new VMs too."""
    fleet = made(more="  - {name: x, vcpus: 1, memory: 1GiB, cells: none, host: h-1}\nrules: [{drain: h-1}]\n")
    assert {vm.host for vm in fit(fleet, [(flavor("2x1GiB"), 2)]).vms} == {"h-2"}


def test_hosts_are_looked_at_until_one_fits() -> None:
    """Of a hundred hosts with the same room in sum only the last has it on one node: it is found."""
    text = """\
schema: placer.inventory/v1
hosts:
  - {name: a, count: 99, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}, {id: 1, cpus: "4-7", memory: 16GiB}]}
  - {name: b, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}]}
vms: [{name: x, vcpus: 1, memory: 1GiB, cells: none, host: a-1, nodes: [0]}]
"""
    found = fit(parse_fleet(text.encode(), "fleet.yaml", Path()), [(flavor("6x1GiB"), 1)])
    assert [vm.host for vm in found.vms] == ["b"] and found.hosts > 32


@pytest.mark.parametrize(("flavor_text", "code"), [("2x1GiB", 0), ("6x1GiB", 5)])
def test_the_verb(flavor_text: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints places as JSON, and exits with 5 where a VM has none."""
    path = tmp_path / "fleet.yaml"
    path.write_text(TEXT + "  - {name: x, vcpus: 1, memory: 1GiB, cells: none, host: h-1}\n")
    assert main(["fit", str(path), "--flavor", flavor_text, "--like", "x", "--json"]) == code
    data = json.loads(capsys.readouterr().out)["result"]
    assert len(data["vms"]) == (2 if code == 0 else 1) and len(data["unplaced"]) == (code > 0)
    assert main(["fit", str(path)]) == 2


HELD = "rules: [{hold: {flavor: 4x1GiB, count: 1}}]\n"
HALF = [("a", "h-1", 0, 0, 1), ("b", "h-1", 1, 4, 5), ("c", "h-2", 0, 0, 1)]


def test_new_vms_take_no_slot_that_is_held() -> None:
    """One node is empty: a slot of its four CPUs stays free, and new VMs of two go beside the others."""
    fleet = made(*HALF, more=HELD)
    found = fit(fleet, [(flavor("2x1GiB"), 3)])
    assert len({(vm.host, tuple(vm.cells[0].nodes)) for vm in found.vms}) == len(found.vms) == 3
    assert [(row["free"], row["proven"]) for row in found.reserve] == [(1, True)]
    four = fit(fleet, [(flavor("2x1GiB"), 4)])
    assert (len(four.vms), four.proven) == (3, True)
    assert four.unplaced[0].reason.endswith("beside the slots that rules keep free")
    assert len(fit(made(*HALF), [(flavor("2x1GiB"), 4)]).vms) == 4


def test_slots_short_already_take_nothing_from_new_vms() -> None:
    """Where the slot is not free to begin with, new VMs have what there is, and it is told that it lacks."""
    fleet = made(*HALF, ("d", "h-2", 1, 4, 5), more=HELD)
    found = fit(fleet, [(flavor("2x1GiB"), 4)])
    assert len(found.vms) == 4 and [(row["free"], row["value"]) for row in found.reserve] == [(0, 1)]


def test_new_vms_go_where_failures_are_survived() -> None:
    """On the large host the new VM survives its failure, and so does the other one; of four VMs not all can."""
    text = """\
schema: placer.inventory/v1
hosts:
  - {name: large, nodes: [{id: 0, cpus: "0-7", memory: 64GiB}]}
  - {name: s, count: 2, nodes: [{id: 0, cpus: "0-3", memory: 64GiB}]}
vms: [{name: a, vcpus: 4, memory: 1GiB, cells: none, host: s-1, nodes: [0]}]
rules: [{reserve: {fail: 1, scope: host}}]
"""
    fleet = parse_fleet(text.encode(), "fleet.yaml", Path())
    found = fit(fleet, [(flavor("4x1GiB"), 1)])
    assert [row["proven"] for row in found.reserve] == [True] and len(found.vms) == 1
    two = fit(fleet, [(flavor("4x1GiB"), 3)])
    assert [row["proven"] for row in two.reserve] == [False] and len(two.vms) == 3


def test_only_slots_that_are_free_now_stay_so() -> None:
    """Of two slots one is free: with a move a new VM has a place beside it, as where one slot alone is asked for."""
    text = """\
schema: placer.inventory/v1
hosts: [{name: h, count: 3, nodes: [{id: 0, cpus: "0-3", memory: 16GiB}]}]
vms:
  - {name: a, vcpus: 2, memory: 1GiB, cells: none, host: h-1, nodes: [0], pins: {0: "0", 1: "1"}}
  - {name: b, vcpus: 2, memory: 1GiB, cells: none, host: h-2, nodes: [0], pins: {0: "0", 1: "1"}}
rules: [{hold: {flavor: 4x1GiB, count: COUNT}}]
"""
    for count in ("1", "2"):
        fleet = parse_fleet(text.replace("COUNT", count).encode(), "fleet.yaml", Path())
        found = fit(fleet, [(flavor("4x1GiB"), 1)], max_moves=1)
        assert (len(found.vms), len(found.moved)) == (1, 1)
        assert [row["free"] for row in found.reserve] == [1]
    none = fit(fleet, [(flavor("4x1GiB"), 3)], max_moves=1)
    assert none.unplaced and not none.proven


TIED = """\
schema: placer.inventory/v1
hosts: [{name: h, count: 3, nodes: [{id: 0, cpus: "0-7", memory: 16GiB}], labels: {rack: r1}}]
vms:
  - {name: a, vcpus: 2, memory: 1GiB, cells: none, host: h-1, nodes: [0], labels: {app: web}}
  - {name: b, vcpus: 2, memory: 1GiB, cells: none, host: h-2, nodes: [0]}
rules: [RULE]
"""


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        ("{anti_affinity: {app: web}}", 2),
        ("{anti_affinity: {app: web}, scope: rack}", 0),
        ("{affinity: {app: web}}", 3),
        ("{alone: {app: web}}", 3),
    ],
)
def test_like_a_vm_is_tied_as_that_one_is(rule: str, fits: int) -> None:
    """Rules that hold a VM hold those like it: on other hosts, in other racks, on its host, or beside no others."""
    fleet = parse_fleet(TIED.replace("RULE", rule).encode(), "fleet.yaml", Path())
    found = fit(fleet, [(wanted_like(fleet, "a"), 3)])
    assert len(found.vms) == fits
    if "alone" in rule:
        assert "h-2" not in {vm.host for vm in found.vms}


def test_who_is_alone_on_its_host_stays_so() -> None:
    """A flavor without labels comes to no host whose VM shall be alone there."""
    fleet = parse_fleet(TIED.replace("RULE", "{alone: {app: web}}").encode(), "fleet.yaml", Path())
    assert {vm.host for vm in fit(fleet, [(flavor("2x1GiB"), 6)]).vms} == {"h-2", "h-3"}


def drawn(seed: int) -> Fleet:
    """Return a fleet that runs, of hosts of one or two nodes, with a group of which a host or rack takes one."""
    rng = random.Random(seed)
    nodes = {1: '[{id: 0, cpus: "0-7", memory: 16GiB}]', 2: TEXT.split("nodes: ")[1].split("}]")[0] + "}]"}
    lines = ["schema: placer.inventory/v1", "hosts:"]
    many = rng.randint(3, 6)
    lines += [
        f"  - {{name: h{n}, nodes: {nodes[rng.choice((1, 2))]}, labels: {{rack: r{n % 2}}}}}" for n in range(many)
    ]
    lines.append("vms:")
    for host in range(many):
        node, first = (1, 4) if "id: 1" in lines[2 + host] and rng.random() < 0.5 else (0, 0)
        for part in range(rng.randint(0, 2)):
            cpus = f'0: "{first + 2 * part}", 1: "{first + 2 * part + 1}"'
            size = f"vcpus: 2, memory: {rng.choice((1, 6))}GiB, cells: none, labels: {{app: {rng.choice('xy')}}}"
            lines.append(f"  - {{name: v{host}-{part}, {size}, host: h{host}, nodes: [{node}], pins: {{{cpus}}}}}")
    lines.append("  - {name: z, vcpus: 1, memory: 1GiB, cells: none, labels: {app: x}}")
    scope = rng.choice(("host", "rack"))
    lines.append(f"rules: [{{anti_affinity: {{app: x}}, scope: {scope}, max_per: 2}}]")
    return parse_fleet("\n".join(lines).encode(), "fleet.yaml", Path())


@pytest.mark.parametrize("seed", range(12))
def test_what_large_fleets_are_told_is_so_by_the_whole(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken for a large one, a fleet places as many without moves, no more with them, and what is proven is so."""
    fleet = drawn(seed)
    wanted = [(flavor("4x1GiB"), 2), (flavor("8x4GiB"), 1), (wanted_like(fleet, "z"), 1), (flavor("6x2GiB/2"), 1)]
    for moves in (0, 2):
        whole = fit(fleet, wanted, max_moves=moves)
        with monkeypatch.context() as patch:
            patch.setattr("placer.whatif.fit.WHOLE_HOSTS", 0)
            patch.setattr("placer.whatif.fit_hosts.FIRST_HOSTS", 1)
            large = fit(fleet, wanted, max_moves=moves)
        assert len(large.vms) + len(large.unplaced) == 5 and len(large.moved) <= moves
        vcpus = {
            one.name: next(kind.spec.vcpus for kind, _ in wanted if one.name.startswith(kind.text))
            for one in (*whole.unplaced, *large.unplaced)
        }
        out, least = (sum(vcpus[one.name] for one in found.unplaced) for found in (large, whole))
        assert not whole.proven or out >= least
        assert not large.proven or out == least
        assert moves or out == least
