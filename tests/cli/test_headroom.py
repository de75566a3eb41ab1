"""``placer headroom``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Placer = Callable[..., Any]
DATA = Path(__file__).parents[2] / "data"


def test_headroom_of_a_live_fleet_and_after_moves(placer: Placer) -> None:
    """As the fleet is, and after the best three moves: never fewer, and proven."""
    run = placer(
        "headroom", str(DATA / "mixed-racks.yaml"), "--flavor", "16x64GiB", "--by", "rack", "--moves", "3", "--json"
    )
    assert run.code == 0
    (entry,) = run.envelope["result"]["headroom"]
    assert entry["total"] == sum(entry["per_label"].values()) == sum(entry["per_host"].values())
    assert entry["after_moves"]["value"] == entry["after_moves"]["bound"] >= entry["total"]


def test_a_flavor_that_is_none_is_refused(placer: Placer) -> None:
    """A text that is no flavor gets one line with the cure and exit 2."""
    run = placer("headroom", str(DATA / "two-node.yaml"), "--flavor", "big")
    assert run.code == 2
    assert "'big' is not a flavor" in run.err
    assert len(run.err.splitlines()) == 1
