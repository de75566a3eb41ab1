"""The value of each goal against cases worked out by hand."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from placer.errors import InputError
from placer.measure.score import PlanValues, goal_values
from placer.model.host import Reserve
from placer.model.rules import Rule, RuleKind
from placer.model.vm import CpuPolicy, EmulatorPolicy, ThreadPolicy
from placer.planner import solve_fleet


def value(build: Any, goal: str, hosts: Any, *placed: Any, rules: Any = ()) -> Any:
    """Return a goal's value for (VM, PlanVm) pairs on hosts."""
    fleet = build.fleet(hosts, [vm for vm, _ in placed], rules)
    return goal_values(fleet, build.plan(*(planned for _, planned in placed)), [goal])[goal]


def put(build: Any, name: str, spec: Any, cpus: Any, memory: Any = (0,), **more: Any) -> Any:
    """Return a VM and its place."""
    vm = build.vm(name, spec, **{key: more.pop(key) for key in ("current", "movable") if key in more})
    return vm, build.placed(vm, cpus, memory, **more)


def test_placed_counts_unplaced_vcpus_by_priority(build: Any) -> None:
    """The value is all unplaced vCPUs; the parts go from the highest priority, vCPUs before VMs."""
    vms = [
        build.vm("lo", build.spec(3)),
        build.vm("hi", build.spec(2, priority=5)),
        build.vm("in", build.spec(1, priority=5)),
    ]
    fleet = build.fleet([build.host()], vms)
    plan = build.plan(build.placed(vms[2], [0], [0]), unplaced=["lo", "hi"])
    values = PlanValues(fleet, plan)
    assert values.value("placed") == 5
    assert values.tiers("placed") == (
        ("vCPUs of priority 5", 2),
        ("VMs of priority 5", 1),
        ("vCPUs of priority 0", 3),
        ("VMs of priority 0", 1),
    )
    assert PlanValues(build.fleet([build.host()], vms[:1]), build.plan(unplaced=["lo"])).tiers("placed") == (
        ("vCPUs", 3),
        ("VMs", 1),
    )


def test_hosts_cost_counts_each_used_host_once(build: Any) -> None:
    """Hosts that hold a VM count their cost, empty ones nothing."""
    hosts = [build.host("a", cost=1.5), build.host("b", cost=2.0), build.host("c", cost=9.0)]
    places = [put(build, "v", None, (0, 1)), put(build, "w", None, (2, 3)), put(build, "x", None, (0, 1), host="b")]
    assert value(build, "hosts", hosts, *places) == 3.5


def test_anti_affinity_counts_members_over_max_per(build: Any) -> None:
    """Four members on one host at max_per 2 exceed by 2, three on another by 1."""
    spec = build.spec(1, labels={"app": "x"})
    hosts = [build.host("a"), build.host("b")]
    places = [put(build, f"a{n}", spec, (n,)) for n in range(4)] + [
        put(build, f"b{n}", spec, (n,), host="b") for n in range(3)
    ]
    rule = Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, max_per=2)
    assert value(build, "rules", hosts, *places, rules=[rule]) == 3


def test_anti_affinity_of_racks_nodes_and_l3(build: Any) -> None:
    """The scope says what a domain is: racks by label, nodes by CPUs, L3 domains by pins; no label, no domain."""
    spec = build.spec(1, labels={"app": "x"})
    topology = build.topology(cpus=8, l3_cpus=4)
    hosts = [
        build.host("a", topology, labels={"rack": "r"}),
        build.host("b", topology, labels={"rack": "r"}),
        build.host("c", topology),
    ]
    places = [
        put(build, "v", spec, (0,)),
        put(build, "w", spec, (4,)),
        put(build, "x", spec, (1,), host="b"),
        put(build, "y", spec, (1,), host="c"),
    ]

    def excess(scope: str) -> Any:
        return value(
            build, "rules", hosts, *places, rules=[Rule(kind=RuleKind.ANTI_AFFINITY, members={"app": "x"}, scope=scope)]
        )

    assert excess("rack") == 2  # v, w and x in rack r; y in none
    assert excess("host") == 1  # v and w on host a
    assert excess("node") == 1  # v and w on node 0 of host a
    assert excess("l3") == 0  # CPUs 0 and 4 are in two L3 domains
    assert excess("row") == 0  # nobody has this label


def test_affinity_counts_domains_beyond_the_first(build: Any) -> None:
    """Members on three hosts are two hosts too many."""
    spec = build.spec(1, labels={"app": "x"})
    places = [put(build, name, spec, (0,), host=name) for name in "abc"]
    rule = Rule(kind=RuleKind.AFFINITY, members={"app": "x"})
    assert value(build, "rules", [build.host(name) for name in "abc"], *places, rules=[rule]) == 2


def test_within_outside_and_drain_count_vms(build: Any) -> None:
    """Each rule counts its VMs that are where they may not be; a drain takes every VM; names select too."""
    spec = build.spec(1, labels={"app": "x"})
    hosts = [build.host("a", labels={"zone": "z1"}), build.host("b", labels={"zone": "z2"})]
    places = [
        put(build, "v", spec, (0,)),
        put(build, "w", spec, (0,), host="b"),
        put(build, "x", build.spec(1), (1,), host="b"),
    ]

    def excess(kind: RuleKind, **more: Any) -> Any:
        return value(build, "rules", hosts, *places, rules=[Rule(kind=kind, **more)])

    assert excess(RuleKind.WITHIN, members={"app": "x"}, hosts={"zone": "z1"}) == 1
    assert excess(RuleKind.OUTSIDE, members={"app": "x"}, hosts={"zone": "z1"}) == 1
    assert excess(RuleKind.OUTSIDE, members={"name": "x"}, hosts={"name": "b"}) == 1
    assert excess(RuleKind.DRAIN, hosts={"name": "b"}) == 2
    assert excess(RuleKind.WITHIN, members={"name": "v"}, hosts={"name": "a"}) == 0


def test_cores_counts_vms_beyond_the_first_on_a_core(build: Any) -> None:
    """Cores 0-1 and 2-3: v and w share one, w alone on its second thread pair; shared vCPUs hold no core."""
    places = [put(build, "v", build.spec(1), (0,)), put(build, "w", build.spec(3), (1, 2, 3))]
    assert value(build, "cores", [build.host()], *places) == 1
    floating = put(build, "s", build.spec(1, cpu_policy=CpuPolicy.SHARED), ((3,),))
    assert value(build, "cores", [build.host()], places[0], floating) == 0
    wide = build.host(topology=build.topology(cpus=8, threads=8))
    places = [put(build, f"v{n}", build.spec(1), (n,)) for n in range(3)]
    assert value(build, "cores", [wide], *places) == 2


def test_an_emulator_cpu_of_its_own_holds_its_core(build: Any) -> None:
    """The isolated emulator CPU of one VM beside a vCPU of another is a shared core."""
    spec = build.spec(2, emulator_threads=EmulatorPolicy.ISOLATE)
    places = [put(build, "v", spec, (0, 1), emulator=frozenset({2})), put(build, "w", build.spec(1), (3,))]
    assert value(build, "cores", [build.host()], *places) == 1


def test_l3_counts_domains_beyond_the_fewest(build: Any) -> None:
    """In L3 domains of 4: 4 vCPUs over two domains are one too many, 6 vCPUs need two anyway."""
    host = build.host(topology=build.topology(cpus=12, l3_cpus=4))
    assert value(build, "l3", [host], put(build, "v", build.spec(4), (0, 1, 4, 5))) == 1
    assert value(build, "l3", [host], put(build, "v", build.spec(4), (0, 1, 2, 3))) == 0
    assert value(build, "l3", [host], put(build, "v", build.spec(6), (0, 1, 2, 3, 4, 5))) == 0
    assert value(build, "l3", [host], put(build, "v", build.spec(6), (0, 1, 4, 5, 8, 9))) == 1
    cells = put(build, "v", build.spec(4, 4, cells=2), (0, 4, 12, 13), (0, 1))
    assert value(build, "l3", [host], cells) == 1


def test_fewest_l3_domains_by_thread_policy_and_pool(build: Any) -> None:
    """Isolated vCPUs need a core each, and reserved CPUs make a domain smaller: what they force does not count."""
    topology = build.topology(cpus=12, l3_cpus=4)
    isolated = build.spec(3, thread_policy=ThreadPolicy.ISOLATE)
    assert value(build, "l3", [build.host(topology=topology)], put(build, "v", isolated, (0, 2, 4))) == 0
    host = build.host(topology=topology, reserve=Reserve(cpus=frozenset({0, 4, 8})))
    place = put(build, "v", build.spec(4), (1, 2, 3, 5), emulator=frozenset({0, 4, 8}))
    assert value(build, "l3", [host], place) == 0


def test_balance_penalises_full_nodes_convexly(build: Any) -> None:
    """Each of ten steps costs what of the load is above it, a fifth of the mean share wide; shared by the ratio."""
    half = put(build, "v", build.spec(2), (0, 1))
    assert value(build, "balance:cpus", [build.host()], half) == pytest.approx(sum(2 - 0.2 * k for k in range(10)))
    full = put(build, "v", build.spec(4), (0, 1, 2, 3))
    assert value(build, "balance:cpus", [build.host()], full) == pytest.approx(sum(4 - 0.4 * k for k in range(10)))
    shared = put(build, "s", build.spec(4, cpu_policy=CpuPolicy.SHARED), ((0, 1, 2, 3),) * 4)
    assert value(build, "balance:cpus", [build.host(cpu_ratio=2.0)], shared) == pytest.approx(11.0)


def test_balance_counts_work_over_usable_cpus(build: Any) -> None:
    """Idle siblings do no work, an emulator CPU does, and reserved CPUs are no capacity."""
    isolated = put(build, "v", build.spec(1, thread_policy=ThreadPolicy.ISOLATE), (0,))
    assert value(build, "balance:cpus", [build.host()], isolated) == pytest.approx(5.5)
    emulator = put(build, "v", build.spec(1, emulator_threads=EmulatorPolicy.ISOLATE), (0,), emulator=frozenset({1}))
    assert value(build, "balance:cpus", [build.host()], emulator) == pytest.approx(15.5)
    host = build.host(reserve=Reserve(cpus=frozenset({2, 3})))
    assert value(
        build, "balance:cpus", [host], put(build, "v", build.spec(1), (0,), emulator=frozenset({2, 3}))
    ) == pytest.approx(sum(1 - 2 * 0.033 * k for k in range(10)))


def test_moves_count_hosts_then_nodes(build: Any) -> None:
    """Another host counts in both parts, another node in the second, a repin in none."""
    specs = build.spec(1, 1)
    hosts = [build.host("a"), build.host("b")]
    now = build.now(pins={0: frozenset({0})})
    vms = [build.vm(name, specs, current=now) for name in ("mig", "node", "mem", "pin", "stay")]
    places = {
        "mig": ((0,), (0,), "b"),
        "node": ((4,), (1,), "a"),
        "mem": ((1,), (1,), "a"),
        "pin": ((2,), (0,), "a"),
        "stay": ((0,), (0,), "a"),
    }
    planned = [build.placed(vm, *places[vm.name][:2], host=places[vm.name][2]) for vm in vms]
    values = PlanValues(build.fleet(hosts, vms), build.plan(*planned))
    assert values.value("moves") == 1
    assert values.tiers("moves") == (("VMs that change host", 1), ("VMs that change host or node", 3))


def test_exchanging_equal_cells_is_a_move(build: Any) -> None:
    """Cell 0 and cell 1 changing places moves both their memories, however alike they are."""
    spec = build.spec(2, 2, cells=2)
    vm = build.vm(spec=spec, current=build.now(nodes=(0, 1)))
    fleet = build.fleet([build.host()], [vm])
    stays, swapped = build.placed(vm, [0, 4], [0, 1]), build.placed(vm, [4, 0], [1, 0])
    assert PlanValues(fleet, build.plan(stays)).tiers("moves")[1][1] == 0
    assert PlanValues(fleet, build.plan(swapped)).tiers("moves")[1][1] == 1


def test_interleaved_parts_are_compared_as_they_lie(build: Any) -> None:
    """A flat guest over nodes 0 and 1 stays while its vCPUs and memory keep their nodes."""
    half = 2 * build.GIB
    vm = build.vm(spec=build.spec(4, 4, interleave=2), current=build.now(nodes=(0, 1)))
    host = build.host(topology=build.topology(nodes=3))
    fleet = build.fleet([host], [vm])
    stays = build.placed(vm, [2, 3, 4, 5], [{0: half, 1: half}])
    goes = build.placed(vm, [2, 3, 8, 9], [{0: half, 2: half}])
    assert PlanValues(fleet, build.plan(stays)).tiers("moves")[1][1] == 0
    assert PlanValues(fleet, build.plan(goes)).tiers("moves")[1][1] == 1


def test_headroom_counts_slots(build: Any) -> None:
    """Free CPUs, memory with the default overhead, distinct nodes for cells: slots as counted by hand."""
    place = put(build, "v", build.spec(1), (0,))
    assert value(build, "headroom:2x0", [build.host()], place) == 1 + 2
    assert value(build, "headroom:4x0", [build.host()], place) == 1
    assert value(build, "headroom:4x0/2", [build.host()], place) == 1
    # 16 GiB less 2 on node 0; a 4 GiB VM takes 4 GiB + 128 MiB + 8 MiB + 16 MiB.
    assert value(build, "headroom:2x4GiB", [build.host()], place) == 1 + 2
    assert value(build, "headroom:1x4GiB", [build.host()], place) == 3 + 3
    assert value(build, "headroom:1x14GiB", [build.host()], place) == 0 + 1


def test_headroom_leaves_out_what_takes_no_vm(build: Any) -> None:
    """Failed and drained hosts and hosts without KVM have no slots; reserved CPUs are none either."""
    hosts = [build.host("a"), build.host("b", failed=True), build.host("c", kvm=False), build.host("d")]
    drain = Rule(kind=RuleKind.DRAIN, hosts={"name": "d"})
    assert value(build, "headroom:4x0", hosts, rules=[drain]) == 2
    assert value(build, "headroom:4x0", [build.host(reserve=Reserve(cpus=frozenset({0})))]) == 1


def test_headroom_beside_shared_vcpus(build: Any) -> None:
    """Shared vCPUs keep the CPUs that their ratio needs, and always one to float over."""
    shared = put(build, "s", build.spec(4, 1, cpu_policy=CpuPolicy.SHARED), ((0, 1, 2, 3),) * 4)
    assert value(build, "headroom:1x0:dedicated", [build.host(cpu_ratio=2.0)], shared) == 2 + 4
    assert value(build, "headroom:1x0:dedicated", [build.host(cpu_ratio=100.0)], shared) == 3 + 4
    split = build.host(dedicated_cpus=frozenset({0, 1}), shared_cpus=frozenset({2, 3}), cpu_ratio=2.0)
    alone = put(build, "s", build.spec(4, 1, cpu_policy=CpuPolicy.SHARED), ((2, 3),) * 4)
    assert value(build, "headroom:1x0:dedicated", [split], alone) == 2


def test_headroom_of_a_node_without_memory(build: Any) -> None:
    """Where a node with CPUs has no memory of its own, its VMs take that of a node that it reaches."""
    topology = build.topology()
    bare = replace(topology, nodes=(topology.nodes[0], replace(topology.nodes[1], memory_kib=0)))
    assert (
        value(build, "headroom:1x1GiB", [build.host(topology=bare)]) == 8
    )  # the other node's memory, reached from both
    assert value(build, "headroom:1x0", [build.host(topology=bare)]) == 8


def test_whole_vms_equals_enumeration() -> None:
    """The formula for cells on distinct nodes equals a greedy-free count by search on small cases."""
    import functools
    import itertools

    from placer.measure.slots import whole_vms

    @functools.cache
    def search(cells: tuple[int, ...], per_vm: int) -> int:
        best = 0
        for chosen in itertools.combinations(range(len(cells)), per_vm):
            if all(cells[n] for n in chosen):
                best = max(best, 1 + search(tuple(c - (n in chosen) for n, c in enumerate(cells)), per_vm))
        return best

    for nodes in range(1, 5):
        for cells in itertools.product(range(4), repeat=nodes):
            if list(cells) == sorted(cells):
                for per_vm in range(1, 4):
                    assert whole_vms(cells, per_vm) == search(cells, per_vm), (cells, per_vm)


def test_headroom_where_not_all_memory_is_reached(build: Any) -> None:
    """Cells of a VM reach each other's memory: of three nodes in a row, two pairs share the middle one."""
    rows = [[10, 20, 255], [20, 10, 20], [255, 20, 10]]
    hosts = [build.host(topology=build.topology(3, 4, distances=rows))]
    assert value(build, "headroom:2x1GiB/2", hosts) == 4
    assert value(build, "headroom:3x1536MiB/3", hosts) == 0
    assert value(build, "headroom:1x1GiB", hosts) == 12
    assert value(build, "headroom:3x0/3", hosts) == 4  # CPU slots, whatever the memory
    apart = [build.host(topology=build.topology(2, 4, far=255))]
    assert value(build, "headroom:2x1GiB/2", apart) == 0


def test_headroom_where_nodes_lend_memory(build: Any) -> None:
    """Two nodes without memory share that of the third, which holds fewer cells than they have CPUs."""
    topology = build.topology(3, 4, memory_gib=7)
    nodes = [build.replace(node, memory_kib=0) for node in topology.nodes[:2]]
    lent = build.host(topology=build.replace(topology, nodes=(*nodes, topology.nodes[2])))
    assert value(build, "headroom:1x1GiB", [lent]) == 6
    assert value(build, "headroom:3x3GiB/3", [lent]) == 2
    cut = build.topology(3, 4, memory_gib=7, far=255)
    none = build.host(topology=build.replace(cut, nodes=(*nodes, cut.nodes[2])))
    assert value(build, "headroom:1x1GiB", [none]) == 4
    no_memory = build.topology(1, 4, memory_gib=0)
    assert value(build, "headroom:1x0", [build.host(topology=no_memory)]) == 4


def test_the_solver_counts_the_same_headroom(build: Any) -> None:
    """On hosts with nodes that do not reach each other, have no memory or no CPUs, engines and measure agree."""
    rng = random.Random(12)
    for _ in range(12):
        count = rng.randint(1, 3)
        rows = [[10 if i == j else rng.choice((20, 255)) for j in range(count)] for i in range(count)]
        only = [n for n in range(1, count) if rng.random() < 0.2]
        topology = build.topology(count, 2, threads=1, memory_gib=3, distances=rows, memory_only=only)
        nodes = [build.replace(n, memory_kib=0) if rng.random() < 0.3 else n for n in topology.nodes]
        fleet = build.fleet([build.host(topology=build.replace(topology, nodes=tuple(nodes)))], [build.vm()])
        for flavor in ("1x0", "2x0/2", "1x512MiB", "2x1GiB/2"):
            plan = solve_fleet(fleet, goals=f"headroom:{flavor}")  # our own check refuses what it does not measure
            goal = plan.goals[0]
            assert goal.status == "optimal"
            assert goal.value == goal_values(fleet, plan, [goal.name])[goal.name]


def test_unknown_goals_are_refused(build: Any) -> None:
    """A goal that is none, and a headroom goal whose flavor is none, are input errors."""
    for goal in ("speed", "headroom:much"):
        with pytest.raises(InputError):
            value(build, goal, [build.host()])
