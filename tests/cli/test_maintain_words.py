"""What ``placer maintain`` says of its waves where a host cannot be emptied."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

Placer = Callable[..., Any]


def test_fewer_waves_than_all_hosts_take_are_no_contradiction(placer: Placer, tmp_path: Path) -> None:
    """A VM as wide as its host stays: no more waves are said to be needed than the hosts take that can be emptied."""
    path = tmp_path / "fleet.yaml"
    path.write_text("""schema: placer.inventory/v1
hosts:
  - {name: big, nodes: [{id: 0, cpus: "0-15", memory: 32GiB}]}
  - {name: h, count: 2, nodes: [{id: 0, cpus: "0-7", memory: 32GiB}]}
vms:
  - {name: wide, vcpus: 16, memory: 4GiB, host: big, nodes: [0]}
  - {name: a, vcpus: 2, memory: 4GiB, host: h-1, nodes: [0]}
  - {name: b, vcpus: 2, memory: 4GiB, host: h-2, nodes: [0]}
""")
    run = placer("maintain", str(path), "--time-limit", "1h")
    assert run.code == 8
    first = run.out.splitlines()[0]
    waves, least = re.findall(r"(\d+) waves \((?:at least (\d+) are needed|proven fewest)\)", first)[0]
    assert int(least or waves) <= int(waves) == 2
