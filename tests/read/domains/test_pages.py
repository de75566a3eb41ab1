"""Where pages lie, as the kernel's files tell it: cgroups of both versions, huge pages apart."""

from __future__ import annotations

import pytest

from placer.read.domains.pages import pages_by_node

GIB = 1024**2
V2 = """anon N0=1073741824 N1=5368709120 N4=12288
file N0=9999999999 N1=0 N4=0
kernel_stack N0=32768 N1=16384 N4=0
shmem N0=0 N1=1073741824 N4=0
anon_thp N0=1073741824 N1=0 N4=0
inactive_anon N0=1073741824 N1=0 N4=0
"""
V1 = """total=900000 N0=300000 N1=600000
file=1 N0=1 N1=0
anon=524288 N0=262144 N1=262144
hierarchical_total=900000 N0=300000 N1=600000
hierarchical_file=1 N0=1 N1=0
hierarchical_anon=524288 N0=262144 N1=262144
hierarchical_unevictable=262144 N0=0 N1=262144
"""
HUGE = """7f10 bind:1 file=/dev/hugepages/libvirt/qemu/1-a/ram-node0 huge dirty=512 N0=512 kernelpagesize_kB=2048
7f20 default file=/x huge N1=1 N3=2 kernelpagesize_kB=1048576
"""


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (V2, {0: GIB, 1: 6 * GIB}),
        (V1, {0: GIB, 1: 2 * GIB}),
        (HUGE, {0: GIB, 1: GIB, 3: 2 * GIB}),
        (V2 + HUGE, {0: 2 * GIB, 1: 7 * GIB, 3: 2 * GIB}),
        ("", {}),
        ("anon\nanon N0=x N1\nhuge N0=1\n" + "anon N0=" + "9" * 400, {}),
    ],
)
def test_guest_memory_by_node(text: str, found: dict[int, int]) -> None:
    """Anonymous, shared and huge pages in whole MiB; neither page cache nor a figure twice, and no rubbish."""
    assert pages_by_node(text) == found
