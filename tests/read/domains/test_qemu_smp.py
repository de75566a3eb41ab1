"""-smp in all its forms."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.read.domains.qemu_options import fields
from placer.read.domains.qemu_smp import LEVELS, Smp, read_smp


def smp(text: str) -> Smp:
    """Read the value of -smp."""
    return read_smp(fields(text, "cpus", "line"), "line")


@pytest.mark.parametrize(
    ("text", "most", "online", "levels"),
    [
        ("", 1, 1, {}),
        ("5", 5, 5, {"sockets": 5}),
        ("cpus=8", 8, 8, {"sockets": 8}),
        ("5,sockets=5,cores=1,threads=1", 5, 5, {"sockets": 5}),
        ("4,maxcpus=8", 8, 4, {"sockets": 8}),
        ("4,maxcpus=8,sockets=2", 8, 4, {"sockets": 2, "cores": 4}),
        ("sockets=2,cores=4", 8, 8, {"sockets": 2, "cores": 4}),
        ("16,sockets=2,dies=2,cores=2,threads=2", 16, 16, {"sockets": 2, "dies": 2, "cores": 2, "threads": 2}),
        ("8,cores=2,threads=2", 8, 8, {"sockets": 2, "cores": 2, "threads": 2}),
        ("maxcpus=8,cores=8", 8, 8, {"cores": 8}),
        ("4,clusters=2,cores=2", 4, 4, {"clusters": 2, "cores": 2}),
    ],
)
def test_forms(text: str, most: int, online: int, levels: dict[str, int]) -> None:
    """Missing figures are computed as QEMU does."""
    result = smp(text)
    assert (result.most, result.online) == (most, online)
    assert dict(zip(LEVELS, result.levels, strict=True)) == dict.fromkeys(LEVELS, 1) | levels


def test_level_ids_count_threads_first() -> None:
    """vCPU 5 of 2 sockets × 2 cores × 2 threads is socket 1, core 0, thread 1."""
    ids = smp("8,sockets=2,cores=2,threads=2").level_ids(5)
    assert (ids["socket-id"], ids["core-id"], ids["thread-id"]) == (1, 0, 1)


@pytest.mark.parametrize("text", ["x", "-1", "8,maxcpus=4", "8,sockets=3,cores=1,threads=1,maxcpus=8", "99999999"])
def test_refuses(text: str) -> None:
    """Figures that are none or contradict each other are refused."""
    with pytest.raises(InputError):
        smp(text)
