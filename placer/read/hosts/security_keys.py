"""What a host has for confidential guests: keys of SEV and TDX, memory of SGX, as the misc cgroup counts them."""

from __future__ import annotations

import re

CAPACITY = "sys/fs/cgroup/misc.capacity"
"""The file below a bundle's top folder."""
_LINE = re.compile(r"^(sev|sev_es|tdx|sgx_epc) ([0-9]{1,18})$", re.MULTILINE)


def resources_of_capacity(data: bytes) -> dict[str, int]:
    """Return the free resources that ``misc.capacity`` tells: keys by their names there, EPC in bytes."""
    return {name: int(amount) for name, amount in _LINE.findall(data.decode("ascii", "replace"))}
