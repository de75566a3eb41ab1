"""The referee itself: values worked out by hand, and every kind of broken answer named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from solvers.evaluate import evaluate, violations
from solvers.objective import Changes, Hinges, HostCosts, Objective, PlacementCosts, RuleExcess, StayPenalties, Unplaced
from solvers.problem import CrossRule, Flavor, Hinge, HostClass, MoveBudget, Problem, Shape
from solvers.result import HostPattern
from tests.effort import no_more_than

# Placements: 0 = flavor 0 on node 0, 1 = on node 1, 2 = over both (cost 3); 3 = flavor 1 on node 0; 4 = a phantom slot.
SHAPE = Shape(
    name="two nodes",
    nodes=2,
    row_names=((0, "cpu"), (1, "cpu")),
    flavor=np.array([0, 0, 0, 1, 2]),
    use=np.array([[2, 0], [0, 2], [1, 1], [1, 0], [0, 1]]),
    cost={"remote": np.array([0, 0, 3, 0, 0]), "headroom": np.array([0, 0, 0, 0, -1])},
    touches=np.array([[True, False], [False, True], [True, True], [True, False], [False, True]]),
    stay_only=np.array([False, False, True, False, False]),
    hinges=(Hinge(goal="rules", row=0, offset=3, slope=5, scale=2),),
)


def host_class(count: int = 1, **changes: object) -> HostClass:
    """Return hosts of four CPUs a node with one VM over both nodes, and one of flavor 1 on no known node."""
    plain = HostClass(
        shape=0,
        count=count,
        capacity=np.array([4, 4]),
        fixed=np.array([1, 0]),
        content=((2, 1),),
        floating=((1, 1),),
        allowed=np.array([True, True, True]),
        stay_penalty=np.array([0, 7, 0]),
        cost=11,
        domain={"rack": 0},
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


EMPTY = host_class(content=(), floating=(), domain={"rack": 1})
GOALS = (
    Objective(goal="placed", terms=(Unplaced(np.array([2, 1, 0])),)),
    Objective(
        goal="rules",
        terms=(
            Hinges("rules"),
            StayPenalties(),
            RuleExcess(),
        ),
    ),
    Objective(goal="remote", terms=(PlacementCosts("remote"),)),
    Objective(goal="hosts", terms=(HostCosts(),)),
    Objective(goal="moves", terms=(Changes(migrations=1),)),
    Objective(goal="moves", terms=(Changes(moves=1),)),
    Objective(goal="headroom", terms=(PlacementCosts("headroom"),)),
)
PROBLEM = Problem(
    flavors=(
        Flavor(name="a", vcpus=2, arriving=2),
        Flavor(name="b", vcpus=1),
        Flavor(name="slot", vcpus=1, phantom=True),
    ),
    shapes=(SHAPE,),
    classes=(host_class(), EMPTY),
    objectives=GOALS,
)


def patterns(first: dict[int, int], second: dict[int, int], phantoms: int = 0) -> tuple[HostPattern, ...]:
    """Return what the host with content and the empty host hold; phantoms on the empty one."""
    return (
        HostPattern(host_class=0, count=1, placements=tuple(sorted(first.items()))),
        HostPattern(
            host_class=1,
            count=1,
            placements=tuple(sorted(second.items())),
            phantoms=((4, phantoms),) if phantoms else (),
        ),
    )


def test_nothing_moved_costs_what_is_there() -> None:
    """The VM that stays, the floating one that settles, and two left out are worth their costs and no moves."""
    # Hinge: load 1 fixed + 1 + 1 = 3, so 5 × (2 × 3 − 3) = 15, plus 7 for the VM that should not be there.
    assert evaluate(PROBLEM, patterns({2: 1, 3: 1}, {}, phantoms=2), (2, 0, 0)) == (4, 22, 3, 11, 0, 0, -2)


def test_changes_are_counted_where_they_are() -> None:
    """One VM that changes node is a move, one that changes host a migration and a move; arrivals are neither."""
    values = evaluate(PROBLEM, patterns({0: 1}, {0: 1, 1: 1, 3: 1}), (0, 0, 0))
    # Loads on node 0: 1 + 2 and 1 + 2 + 1; two hosts used; flavor 1 left its host.
    assert values == (0, 15 + 25 + 7, 0, 22, 1, 2, 0)


def test_phantoms_open_no_host_and_load_no_hinge() -> None:
    """Headroom is counted, but a host that holds phantoms alone is not used."""
    values = evaluate(PROBLEM, patterns({2: 1, 3: 1}, {}, phantoms=4), (2, 0, 0))
    assert values[3] == 11 and values[6] == -4


@pytest.mark.parametrize(
    ("found", "unplaced", "message"),
    [
        (patterns({2: 1, 3: 1}, {0: 3}), (0, 0, 0), "takes 6 of 4"),
        (patterns({2: 1, 3: 1}, {}, phantoms=5), (2, 0, 0), "takes 5 of 4"),
        (patterns({2: 2, 3: 1}, {}), (1, 0, 0), "stay-only 2"),
        (patterns({3: 1}, {2: 1}), (2, 0, 0), "stay-only 2"),
        (patterns({3: 1}, {}), (3, 0, 0), "3 of 2 arriving VMs unplaced"),
        (patterns({2: 1, 3: 1}, {}), (1, 0, 0), "1 placed and 1 unplaced of 3"),
        (patterns({2: 1}, {}), (2, 1, 0), "1 of 0 arriving"),
        (patterns({2: 1, 3: 1}, {4: 1}), (2, 0, 0), "placement 4 is among the VMs"),
        (patterns({2: 1, 3: 1}, {9: 1}), (2, 0, 0), "placement 9 of 5"),
        (patterns({2: 1, 3: 1}, {})[:1], (2, 0, 0), "class 1: 0 of 1 hosts"),
        (patterns({2: 1, 3: 1}, {}), (2, 0), "2 counts of unplaced VMs for 3 flavors"),
    ],
)
def test_broken_answers_are_named(found: tuple[HostPattern, ...], unplaced: tuple[int, ...], message: str) -> None:
    """Each way to break an answer is found, and nothing else is."""
    broken = violations(PROBLEM, found, unplaced)
    assert broken and any(message in line for line in broken), broken


def test_a_right_answer_breaks_nothing() -> None:
    """What is there now, and arrivals that fit, are fine."""
    assert violations(PROBLEM, patterns({2: 1, 3: 1}, {0: 1, 1: 1}, phantoms=2), (0, 0, 0)) == []


def test_who_may_not_arrive_may_stay() -> None:
    """A flavor that is not allowed stays where it is, and is refused anywhere else."""
    closed = replace(PROBLEM, classes=(host_class(allowed=np.array([False, True, True])), EMPTY))
    assert violations(closed, patterns({2: 1, 3: 1}, {1: 2}), (0, 0, 0)) == []
    assert violations(closed, patterns({0: 1, 3: 1}, {1: 2}), (0, 0, 0)) == []
    assert any(
        "flavor 0 may not arrive" in line for line in violations(closed, patterns({1: 2, 3: 1}, {1: 1}), (0, 0, 0))
    )


@pytest.mark.parametrize(
    ("budget", "broken"),
    [
        (MoveBudget(moves=1), "2 moves, at most 1"),
        (MoveBudget(migrations=0), "1 migrations, at most 0"),
        (MoveBudget(host_out=0), "1 VMs leave a host, at most 0"),
        (MoveBudget(host_in=0), "more than 0 VMs migrate to a host"),
        (MoveBudget(moves=2, migrations=1, host_in=1, host_out=1), ""),
    ],
)
def test_budgets(budget: MoveBudget, broken: str) -> None:
    """One VM changes node and one changes host: each limit counts what it says."""
    lines = violations(replace(PROBLEM, budget=budget), patterns({0: 1}, {0: 1, 1: 1, 3: 1}), (0, 0, 0))
    assert [broken in line for line in lines] == [True] * bool(broken)


def test_arrivals_are_told_from_migrants_as_well_as_can_be() -> None:
    """A host that receives three VMs of a flavor of which two are new receives one migrant, not three."""
    moved = patterns({3: 1}, {0: 1, 1: 2})
    tight = replace(PROBLEM, budget=MoveBudget(host_in=0))
    assert any("migrate" in line for line in violations(tight, moved, (0, 0, 0)))
    assert violations(replace(PROBLEM, budget=MoveBudget(host_in=1)), moved, (0, 0, 0)) == []


@pytest.mark.parametrize(
    ("rule", "excess", "broken"),
    [
        (CrossRule(name="r", kind="spread", members=(0, 1), scope="rack", max_per=1), 1, False),
        (CrossRule(name="r", kind="spread", members=(0,), scope="rack", max_per=1), 1, True),
        (CrossRule(name="r", kind="spread", members=(0,), scope="host", max_per=2), 0, False),
        (CrossRule(name="r", kind="spread", members=(0,), scope="hall", max_per=1), 0, False),
        (CrossRule(name="r", kind="together", members=(0, 1), scope="rack"), 1, True),
        (CrossRule(name="r", kind="together", members=(1,), scope="rack"), 0, False),
        (CrossRule(name="r", kind="together", members=(0, 1), scope="hall"), 0, False),
        (CrossRule(name="r", kind="together", members=(0,), scope="node"), 3, True),
    ],
)
def test_rules_over_hosts(rule: CrossRule, excess: int, broken: bool) -> None:
    """With one VM of each flavor where it was and two new ones elsewhere, each rule's excess is the one by hand."""
    goal = Objective(goal="rules", terms=(RuleExcess(),))
    problem = replace(PROBLEM, rules=(rule,), objectives=(goal,))
    second = {1: 2} if rule.scope != "node" else {0: 1, 1: 1}
    found = patterns({2: 1, 3: 1}, second)
    if rule.kind == "spread" and rule.members == (0, 1):
        found, unplaced = patterns({2: 1, 3: 1}, {1: 1}), (1, 0, 0)
    else:
        unplaced = (0, 0, 0)
    assert evaluate(problem, found, unplaced) == (excess,)
    assert bool(violations(problem, found, unplaced)) == broken


def test_immovable_members_count() -> None:
    """A member that cannot move fills its domain: the only other one is over the limit there, not at the start."""
    rule = CrossRule(name="r", kind="spread", members=(0,), scope="rack", max_per=1)
    goal = Objective(goal="rules", terms=(RuleExcess(),))
    classes = (host_class(), replace(EMPTY, fixed_members={0: 1}))
    problem = replace(PROBLEM, rules=(rule,), objectives=(goal,), classes=classes)
    found = patterns({2: 1, 3: 1}, {1: 1})
    assert evaluate(problem, found, (1, 0, 0)) == (1,)
    assert any("excess 1 in 1, 0 at the start" in line for line in violations(problem, found, (1, 0, 0)))


def test_immovable_members_hold_their_nodes() -> None:
    """A member that cannot move is on its node: one that gathers elsewhere is in a second domain."""
    rule = CrossRule(name="r", kind="together", members=(0,), scope="node")
    goal = Objective(goal="rules", terms=(RuleExcess(),))
    nodes = PROBLEM.shapes[EMPTY.shape].nodes
    classes = (host_class(), replace(EMPTY, fixed_on={0: np.eye(nodes, dtype=np.int64)[0]}))
    problem = replace(PROBLEM, rules=(rule,), objectives=(goal,), classes=classes)
    beside = evaluate(problem, patterns({2: 1, 3: 1}, {}), (2, 0, 0))
    without = evaluate(replace(problem, classes=(host_class(), EMPTY)), patterns({2: 1, 3: 1}, {}), (2, 0, 0))
    assert beside == (without[0] + 1,)


def test_a_fleet_of_hosts_that_all_differ_is_added_up_once() -> None:
    """600 hosts of their own VMs, 6,000 flavors: what leaves each is a table of the fleet, not one a host."""
    each, hosts = 10, 600
    shape = Shape(
        name="one node",
        nodes=1,
        row_names=((0, "cpu"),),
        flavor=np.arange(each * hosts),
        use=np.ones((each * hosts, 1), dtype=np.int64),
        cost={},
        touches=np.ones((each * hosts, 1), dtype=np.bool_),
        stay_only=np.zeros(each * hosts, dtype=np.bool_),
        hinges=(),
    )
    here = [tuple((placement, 1) for placement in range(n * each, (n + 1) * each)) for n in range(hosts)]
    everything = np.ones(each * hosts, dtype=np.bool_)
    problem = Problem(
        flavors=tuple(Flavor(name=str(n), vcpus=1) for n in range(each * hosts)),
        shapes=(shape,),
        classes=tuple(
            HostClass(
                shape=0,
                count=1,
                capacity=np.array([each]),
                fixed=np.array([0]),
                content=content,
                allowed=everything,
                stay_penalty=np.zeros(each * hosts, dtype=np.int64),
            )
            for content in here
        ),
        objectives=(Objective(goal="moves", terms=(Changes(migrations=1),)),),
    )
    leaver = [HostPattern(host_class=0, count=1, placements=here[0][1:])]
    rest = [HostPattern(host_class=n, count=1, placements=here[n]) for n in range(1, hosts)]
    with no_more_than(60):
        assert evaluate(problem, leaver + rest, [0] * (each * hosts)) == (1,)
