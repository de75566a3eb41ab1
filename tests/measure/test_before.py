"""What goals are worth before anything is changed, where not all is known of how it runs."""

from __future__ import annotations

import pytest

from placer.measure.before import values_before
from placer.read.inventory.inventory import parse_fleet

FLEET = """schema: placer.inventory/v1
hosts:
  - {name: a, nodes: [{id: 0, cpus: 0-15, memory: 64GiB}, {id: 1, cpus: 16-31, memory: 64GiB}]}
vms:
  - {name: v1, vcpus: 8, memory: 8GiB, cells: 1, host: a, nodes: [0], cpu_policy: dedicated, emulator_threads: share}
  - {name: v2, vcpus: 10, memory: 8GiB, cells: 1, host: a, nodes: [1], cpu_policy: dedicated, emulator_threads: share}
"""


def before(*goals: str, more: str = "") -> dict[str, float | None]:
    """Return the values before, with lines added to the fleet's VMs."""
    return values_before(parse_fleet((FLEET + more).encode(), "fleet.yaml", "."), goals)


def test_dedicated_vcpus_take_cpus_wherever_their_pins_are_not_known() -> None:
    """Eight and six CPUs are left, three slots of four; as if nobody ran there it would be eight."""
    assert before("headroom:4x1GiB:dedicated") == {"headroom:4x1GiB:dedicated": 3}
    assert before("headroom:4x1GiB:shared") == {"headroom:4x1GiB:shared": 3}
    assert before("headroom:2x0") == {"headroom:2x0": 7}
    assert before("headroom:4x1GiB:floating") == {"headroom:4x1GiB:floating": 3}


@pytest.mark.parametrize(
    "more", ["thread_policy: isolate", "thread_policy: pairs", "emulator_threads: isolate", "dedicated_cpus: 0-3"]
)
def test_what_depends_on_which_cpus_they_have_is_unknown(more: str) -> None:
    """Siblings that stay idle, an emulator's own CPU and pools that are apart: how much is taken nobody can tell."""
    host, vm = (more, "") if "cpus" in more else ("", f", {more}")
    text = f"""schema: placer.inventory/v1
hosts:
  - {{name: a, nodes: [{{id: 0, cpus: 0-7, memory: 64GiB}}]{host and ", " + host + ", shared_cpus: 4-7"}}}
vms:
  - {{name: v1, vcpus: 2, memory: 8GiB, cells: 1, host: a, nodes: [0], cpu_policy: dedicated{vm}}}
"""
    assert values_before(parse_fleet(text.encode(), "fleet.yaml", "."), ["headroom:2x0"]) == {"headroom:2x0": None}


def test_pins_that_are_known_take_what_they_say() -> None:
    """A VM pinned one to one beside them takes its two CPUs, no more and no less."""
    pinned = (
        "  - {name: v3, vcpus: 2, memory: 1GiB, cells: 1, host: a, nodes: [1], cpu_policy: dedicated, "
        "emulator_threads: share, pins: {0: '30', 1: '31'}}\n"
    )
    assert before("headroom:6x1GiB:dedicated") == {"headroom:6x1GiB:dedicated": 2}
    assert before("headroom:6x1GiB:dedicated", more=pinned) == {"headroom:6x1GiB:dedicated": 1}


def test_what_pins_alone_tell_is_unknown_without_them() -> None:
    """Shared cores and L3 domains of a vCPU whose CPU nobody knows are not 0."""
    assert before("cores", "l3", "hosts") == {"cores": None, "l3": None, "hosts": 1}


def test_a_second_goal_of_headroom_has_no_value_before() -> None:
    """It counts beside the VMs of the first, which are not there yet."""
    found = before("headroom:4x1GiB:dedicated", "headroom:8x1GiB:dedicated")
    assert found == {"headroom:4x1GiB:dedicated": 3, "headroom:8x1GiB:dedicated": None}
