"""Plans that some versions of libvirt take and do not start."""

from __future__ import annotations

from typing import Any

import pytest

from placer.check.start import start_warnings


def _warned(build: Any, *, page_kib: int | None, emulator: set[int], immediate: frozenset[str] = frozenset()) -> bool:
    """Tell whether a VM on node 1 (CPUs 4-7) is warned of, once, with its name."""
    vm = build.vm(spec=build.spec(page_kib=page_kib))
    fleet = build.fleet([build.host(topology=build.topology(pages={2048: 4096}))], [vm])
    planned = build.placed(vm, (4, 5), (1,), emulator=frozenset(emulator))
    warnings = list(start_warnings(fleet, build.plan(planned), immediate=immediate))
    assert all("'v'" in warning and "9.2" in warning for warning in warnings)
    return len(warnings) == 1


@pytest.mark.parametrize(
    ("page_kib", "emulator", "immediate", "expected"),
    [
        (2048, {0}, frozenset(), True),
        (2048, {0, 4}, frozenset(), False),
        (2048, {5}, frozenset(), False),
        (None, {0}, frozenset(), False),
        (None, {0}, frozenset({"v"}), True),
        (2048, set(), frozenset(), False),
    ],
)
def test_memory_allocated_at_start_away_from_the_emulator(
    build: Any, page_kib: int | None, emulator: set[int], immediate: frozenset[str], expected: bool
) -> None:
    """Huge pages, or memory that the XML allocates at once, on a node where the emulator threads have no CPU."""
    assert _warned(build, page_kib=page_kib, emulator=emulator, immediate=immediate) is expected
