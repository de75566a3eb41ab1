"""Plan files: what is written is what is read, and what is damaged is named by file and field."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placer.emit.plan_file import plan_text, write_plan
from placer.errors import InputError
from placer.model.plan import Change, GoalResult, Plan, PlanCell, PlanVm, Unplaced
from placer.read.documents.plan_file import certificate_path, read_plan

names = st.text(min_size=1, max_size=12)
cpusets = st.frozensets(st.integers(0, 600), min_size=1, max_size=6)
figures = st.none() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8)


@st.composite
def cells(draw: st.DrawFn, number: int) -> PlanCell:
    """Draw one cell of a plan."""
    nodes = draw(st.dictionaries(st.integers(0, 300), st.integers(0, 2**42), min_size=1, max_size=3))
    return PlanCell(
        id=number,
        vcpus=draw(cpusets),
        memory_kib=sum(nodes.values()),
        mode=draw(st.sampled_from(["strict", "interleave"])),
        nodes=nodes,
    )


@st.composite
def plan_vms(draw: st.DrawFn) -> PlanVm:
    """Draw one VM of a plan."""
    return PlanVm(
        name=draw(names),
        host=draw(names),
        uuid=draw(st.none() | st.uuids().map(str)),
        from_host=draw(st.none() | names),
        cells=tuple(draw(cells(number)) for number in range(draw(st.integers(1, 3)))),
        pins=draw(st.dictionaries(st.integers(0, 500), cpusets, max_size=4)),
        emulator=draw(st.none() | cpusets),
        iothreads=draw(st.dictionaries(st.integers(1, 50), cpusets, max_size=2)),
        devices=tuple(draw(st.lists(st.tuples(names, st.none() | st.integers(0, 7)), max_size=2))),
        shown=draw(st.booleans()),
        new_cells=draw(st.booleans()),
        change=draw(st.sampled_from(list(Change))),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a whole plan, sense or nonsense."""
    states = st.sampled_from(["optimal", "feasible", "unknown", "infeasible"])
    text = st.text(max_size=5)
    tiers = st.fixed_dictionaries({"part": text, "value": figures, "bound": figures, "source": text, "status": states})
    goal = st.builds(
        GoalResult,
        name=names,
        value=figures,
        bound=figures,
        gap=figures,
        source=st.text(max_size=5),
        status=st.sampled_from(["optimal", "feasible", "unknown", "infeasible"]),
        stopped=st.text(max_size=5),
        held_at=st.none() | names,
        tiers=st.lists(tiers, max_size=2).map(tuple),
    )
    return Plan(
        fleet_path=draw(st.none() | names),
        fleet_digest=draw(st.text(max_size=8)),
        seed=draw(st.integers(-(2**31), 2**31)),
        rounds=draw(st.integers(0, 10**6)),
        status=draw(st.text(max_size=8)),
        goals=tuple(draw(st.lists(goal, max_size=2))),
        vms=tuple(draw(st.lists(plan_vms(), max_size=3))),
        unplaced=tuple(draw(st.lists(st.builds(Unplaced, name=names, reason=st.text(max_size=8)), max_size=2))),
        versions=draw(st.dictionaries(names, st.text(max_size=4), max_size=2)),
        options={f"x{key}": value for key, value in draw(st.dictionaries(names, plain, max_size=2)).items()},
        summary=draw(st.dictionaries(names, plain, max_size=2)),
        warnings=tuple(draw(st.lists(st.text(max_size=8), max_size=2))),
        certificate=draw(st.none() | certificates()),
    )


def certificates() -> st.SearchStrategy[dict[str, Any]]:
    """Draw certificates: counts, or duals, or a tree of branches with duals."""
    big = st.integers(0, 2**40)
    duals = {name: st.lists(big, max_size=2) for name in ("flavor", "hold", "held", "least")}
    duals |= dict.fromkeys(("objective", "moves", "migrations", "bound"), big) | {"scale": st.integers(1, 99)}
    duals["objective"] = st.integers(0, 9)
    leaf = st.fixed_dictionaries(duals)
    split = st.fixed_dictionaries({"flavor": st.integers(-1, 3), "most": big, "placements": st.just([[0], []])})
    branch = st.fixed_dictionaries({"leaf": leaf})
    tree = branch | st.fixed_dictionaries({"split": split, "few": branch, "many": branch})
    grown = st.fixed_dictionaries({"bound": big, "tree": tree})
    count = st.fixed_dictionaries({"goal": names, "part": names, "value": st.none() | big, "bound": st.none() | big})
    return st.fixed_dictionaries({"kind": st.just("counts"), "objectives": st.lists(count, max_size=2)}) | (
        st.fixed_dictionaries({"objectives": st.lists(st.none() | leaf | grown, max_size=2)})
    )


def small_plan() -> Plan:
    """Return a plan of one VM."""
    cell = PlanCell(id=0, vcpus=frozenset({0, 1}), memory_kib=1536, mode="strict", nodes={1: 1536})
    vm = PlanVm(name="db", host="a", cells=(cell,), pins={0: frozenset({4}), 1: frozenset({5})})
    goal = GoalResult(name="remote", value=0.5, bound=0.5, gap=0.0, source="exact", status="optimal")
    return Plan(
        fleet_path="fleet.yaml",
        fleet_digest="abc",
        seed=0,
        rounds=1,
        status="optimal",
        goals=(goal,),
        vms=(vm,),
        unplaced=(Unplaced(name="x", reason="no room"),),
    )


def small_tree() -> dict[str, Any]:
    """Return the plain data of `small_plan`."""
    tree: dict[str, Any] = json.loads("".join(plan_text(small_plan())))
    return tree


@given(plan=plans())
def test_what_is_written_is_read_again(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Any plan, certificate included, comes back equal, and its text has sorted keys."""
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    write_plan(plan, path)
    assert read_plan(path, certificate=plan.certificate is not None) == plan
    text = path.read_text()
    tree = json.loads(text)
    assert json.dumps(tree, sort_keys=True) == json.dumps(tree)


def test_standard_input_and_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash writes to standard output what a dash reads from standard input."""
    import io

    write_plan(small_plan(), "-")
    text = capsys.readouterr().out
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert read_plan("-") == small_plan()


def test_sizes_are_mib_and_vcpus_are_counted() -> None:
    """The file form is the one promised: MiB, counts beside cpusets, the schema's name."""
    tree = small_tree()
    assert tree["schema"] == "placer.plan/v1"
    assert tree["fleet"] == {"digest": "abc", "path": "fleet.yaml"}
    assert tree["vms"][0]["cells"] == [
        {"cpus": "0-1", "id": 0, "memory_mib": 1.5, "mode": "strict", "nodes": {"1": 1.5}, "vcpus": 2}
    ]
    assert tree["vms"][0]["pins"] == {"0": "4", "1": "5"}
    assert tree["vms"][0]["change"] == "none"


def test_nothing_is_overwritten_without_force(tmp_path: Path) -> None:
    """A plan or a side file that is there stays unless force is given; then a stale side file goes."""
    path = tmp_path / "plan.json"
    write_plan(replace(small_plan(), certificate=COUNTS), path)
    before = path.read_bytes()
    with pytest.raises(InputError, match="--force"):
        write_plan(small_plan(), path)
    assert path.read_bytes() == before
    write_plan(replace(small_plan(), seed=7), path, force=True)
    assert read_plan(path).seed == 7
    assert not certificate_path(path).exists()
    certificate_path(path).write_text("mine")
    path.unlink()
    with pytest.raises(InputError, match=r"plan\.cert\.json"):
        write_plan(small_plan(), path)


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    """A plan that cannot be written as JSON leaves the old file and no half of a new one."""
    path = tmp_path / "plan.json"
    write_plan(small_plan(), path)
    with pytest.raises(ValueError):
        write_plan(replace(small_plan(), options={"x": float("nan")}), path, force=True)
    assert read_plan(path) == small_plan()
    assert os.listdir(tmp_path) == ["plan.json"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    """A folder, or a path through a file, is refused by name; folders that are missing are made."""
    with pytest.raises(InputError, match="folder"):
        write_plan(small_plan(), tmp_path, force=True)
    with pytest.raises(InputError, match="cannot be written"):
        write_plan(small_plan(), Path("/dev/null/plan.json"))
    write_plan(small_plan(), tmp_path / "new" / "er" / "plan.json")
    assert read_plan(tmp_path / "new" / "er" / "plan.json") == small_plan()


def test_a_device_is_written_through(tmp_path: Path) -> None:
    """Writing to what is no regular file, such as /dev/null, never replaces it."""
    write_plan(small_plan(), "/dev/null")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """Overwriting through a link changes the file that it names."""
    (tmp_path / "real.json").write_text("{}")
    (tmp_path / "plan.json").symlink_to("real.json")
    write_plan(small_plan(), tmp_path / "plan.json", force=True)
    assert (tmp_path / "plan.json").is_symlink()
    assert read_plan(tmp_path / "real.json") == small_plan()


def test_the_certificate_of_another_plan_is_refused(tmp_path: Path) -> None:
    """A plan changed after its certificate was written no longer owns it; a plan without one says so."""
    path = tmp_path / "plan.json"
    write_plan(replace(small_plan(), certificate=COUNTS), path)
    assert read_plan(path, certificate=True).certificate == COUNTS
    assert read_plan(path).certificate is None
    path.write_text(path.read_text().replace('"db"', '"dc"'))
    with pytest.raises(InputError, match="certificate of another plan"):
        read_plan(path, certificate=True)
    certificate_path(path).write_text('{"schema": "x"}')
    with pytest.raises(InputError, match="is not a certificate"):
        read_plan(path, certificate=True)
    certificate_path(path).unlink()
    assert read_plan(path, certificate=True).certificate is None


COUNTS: dict[str, Any] = {"kind": "counts", "objectives": [{"goal": "remote", "part": "", "value": 5, "bound": 5}]}
LEAF: dict[str, Any] = {
    **{name: [0] for name in ("flavor", "hold", "held", "least")},
    "objective": 1,
    "moves": 0,
    "migrations": 0,
    "bound": 3,
    "scale": 1,
}
SPLIT: dict[str, Any] = {"flavor": 0, "most": 1, "placements": [[0]]}


@pytest.mark.parametrize(
    ("certificate", "message"),
    [
        ({"kind": "faith", "objectives": []}, "is no kind of certificate"),
        (
            {"kind": "counts", "objectives": [{"goal": "remote", "part": "", "value": 5}]},
            "objectives[0].bound: is missing",
        ),
        ({"objectives": [{**LEAF, "scale": 0}]}, "objectives[0].scale"),
        ({"objectives": [{**LEAF, "flavor": ["x"]}]}, "objectives[0].flavor[0]"),
        ({"objectives": [{"bound": 3}]}, "objectives[0].held: is missing"),
        ({"objectives": [{"bound": 3, "tree": {"few": 1}}]}, "objectives[0].tree: is neither a leaf nor a split"),
        ({"objectives": [{"bound": 3, "tree": {"split": SPLIT, "few": {"leaf": LEAF}, "many": 7}}]}, "tree.many"),
        ({"objectives": [{"bound": 3, "tree": {"leaf": {**LEAF, "moves": -1}}}]}, "tree.leaf.moves"),
        ({"objectives": "all"}, "certificate.objectives"),
    ],
)
def test_a_damaged_certificate_is_named(tmp_path: Path, certificate: dict[str, Any], message: str) -> None:
    """What has not the form of a certificate is refused with file and field."""
    path = tmp_path / "plan.json"
    write_plan(replace(small_plan(), certificate=certificate), path)
    with pytest.raises(InputError) as caught:
        read_plan(path, certificate=True)
    assert message in str(caught.value) and "plan.cert.json" in str(caught.value)


DAMAGED: dict[str, tuple[Any, str]] = {
    "unknown key": (lambda t: t.update(extra=1), "extra: unknown key"),
    "unknown key of a VM": (lambda t: t["vms"][0].update(colour=1), "vms[0] 'db'.colour: unknown key"),
    "missing key": (lambda t: t.pop("goals"), "goals: is missing"),
    "missing key of a VM": (lambda t: t["vms"][0].pop("host"), "vms[0] 'db'.host: is missing"),
    "number as text": (lambda t: t.update(seed="1"), "seed: "),
    "negative memory": (lambda t: t["vms"][0]["cells"][0].update(memory_mib=-1), "cells[0].memory_mib: "),
    "fraction of a KiB": (lambda t: t["vms"][0]["cells"][0]["nodes"].update({"1": 0.3}), "nodes.1: 0.3 MiB"),
    "no CPU list": (lambda t: t["vms"][0]["pins"].update({"0": "4-"}), "vms[0] 'db'.pins.0: '4-' is not a CPU list"),
    "empty CPU list": (lambda t: t["vms"][0]["pins"].update({"0": ""}), "pins.0: is an empty list"),
    "vCPU is no number": (lambda t: t["vms"][0]["pins"].update({"01": "4"}), "pins: '01' is not a number"),
    "node is no number": (lambda t: t["vms"][0]["cells"][0]["nodes"].update({"-1": 0}), "nodes: '-1' is not a number"),
    "huge vCPU": (lambda t: t["vms"][0]["pins"].update({"99999": "4"}), "'99999' is not a number of 0 to 65535"),
    "unknown change": (lambda t: t["vms"][0].update(change="teleport"), "change: "),
    "unknown mode": (lambda t: t["vms"][0]["cells"][0].update(mode="preferred"), "mode: "),
    "unknown status": (lambda t: t["goals"][0].update(status="perfect"), "goals[0] 'remote'.status: "),
    "truth as a number": (lambda t: t["goals"][0].update(value=True), "goals[0] 'remote'.value: "),
    "counts differ": (lambda t: t["vms"][0]["cells"][0].update(vcpus=3), "says 3 vCPUs, and cpus names 2"),
    "no cells": (lambda t: t["vms"][0].update(cells=[]), "vms[0] 'db'.cells: "),
    "empty name": (lambda t: t["vms"][0].update(name=""), "name: "),
    "a list for a mapping": (lambda t: t.update(vms={}), "vms: "),
    "another schema": (lambda t: t.update(schema="placer.inventory/v1"), "is an inventory; a plan belongs here"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damage_is_named(kind: str, tmp_path: Path) -> None:
    """Each kind of damage gives one fault a place, with the file and the field."""
    damage, expected = DAMAGED[kind]
    tree = small_tree()
    damage(tree)
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError) as raised:
        read_plan(path)
    assert len(raised.value.faults) == 1, str(raised.value)
    assert str(raised.value).startswith(str(path))
    assert expected in str(raised.value)


def test_all_faults_at_once(tmp_path: Path) -> None:
    """Faults of several places come together."""
    tree = small_tree()
    tree["vms"][0]["pins"] = {"0": "x", "1": "y"}
    tree["vms"][0]["emulator"] = "7-2"
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(tree))
    with pytest.raises(InputError) as raised:
        read_plan(path)
    assert len(raised.value.faults) == 3


BROKEN = {
    "empty": (b"", "is empty"),
    "garbage": (b"\x00\xff" * 1000, "is a binary file"),
    "text": (b"hello\nworld", "is not JSON"),
    "cut short": (b'{"schema": "placer.plan/v1"', "is not JSON"),
    "deep": (b"[" * 200_000, "nested too deep"),
    "key twice": (b'{"a": 1, "a": 2}', "key 'a' is here twice"),
    "not a number": (b'{"a": NaN}', "'NaN' is not a finite number"),
    "above all numbers": (b'{"a": 1e999}', "'1e999' is not a finite number"),
    "endless number": (b'{"a": ' + b"9" * 10_000 + b"}", "too long"),
    "a list": (b"[1, 2]", "is not a plan"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_plan(kind: str, tmp_path: Path) -> None:
    """A file that is no plan gets one line that says why."""
    raw, expected = BROKEN[kind]
    path = tmp_path / "plan.json"
    path.write_bytes(raw)
    with pytest.raises(InputError) as raised:
        read_plan(path)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    """A file that is not there is named with the system's reason."""
    with pytest.raises(InputError, match="No such file"):
        read_plan(tmp_path / "none.json")
