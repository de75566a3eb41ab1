"""/proc/cpuinfo of several architectures."""

from __future__ import annotations

import pytest

from placer.errors import InputError
from placer.read.hosts.cpuinfo import parse_cpuinfo, read_cpuinfo

X86 = "".join(
    f"processor\t: {n}\nmodel name\t: A CPU\nphysical id\t: 0\ncore id\t\t: {n % 2}\nflags\t\t: fpu lm svm\n\n"
    for n in range(4)
)


def test_x86() -> None:
    """x86 tells siblings, and by svm or vmx that KVM can run."""
    topology = parse_cpuinfo(X86.encode(), "x")
    assert topology.cores == ({0, 2}, {1, 3})
    assert (topology.arch, topology.model, topology.kvm) == ("x86_64", "A CPU", True)
    assert topology.nodes[0].memory_kib == 0


@pytest.mark.parametrize(
    ("text", "arch", "kvm"),
    [
        ("processor : 0\nflags : fpu lm", "x86_64", False),
        ("processor : 0\nflags : fpu pae vmx", "i686", True),
        ("processor 0: version = 00, identification = 1\nfeatures : esan3 zarch sie", "s390x", True),
        ("processor 0: version = 00\nfeatures : esan3 zarch", "s390x", False),
        ("processor : 0\ncpu : POWER9, altivec supported", "ppc64", None),
        ("processor : 0\nCPU architecture: 8", "aarch64", None),
        ("processor : 0\nisa : rv64imafdc", "riscv64", None),
        ("processor : 0\n", None, None),
    ],
)
def test_architectures(text: str, arch: str | None, kvm: bool | None) -> None:
    """The lines of each architecture give it away; off x86 and s390 nothing tells of KVM."""
    info = read_cpuinfo(text.splitlines())
    assert info.processors == {0}
    assert (info.arch, info.kvm) == (arch, kvm)


def test_nothing_in_it() -> None:
    """A text without a processor is refused."""
    with pytest.raises(InputError, match="tells no processor"):
        parse_cpuinfo(b"model name : x\n", "x")


def test_s390_tells_cores_behind_the_list_of_processors() -> None:
    """Each ``cpu number`` begins what is told of one CPU; the lines of processors come first, all of them."""
    listed = "".join(f"processor {cpu}: version = 00,  identification = 0133E8,  machine = 3931\n" for cpu in range(4))
    told = "".join(
        f"\ncpu number      : {cpu}\nphysical id     : 1\ncore id         : {cpu // 2}\n" for cpu in range(4)
    )
    topology = parse_cpuinfo(f"vendor_id       : IBM/S390\n{listed}{told}".encode(), "z")
    assert topology.cores == (frozenset({0, 1}), frozenset({2, 3}))


def test_numbers_with_gaps_are_no_efficiency_cores() -> None:
    """What is offline is not listed: a core of which one thread is left is no core of another kind."""
    block = "processor : {}\nphysical id : 0\ncore id : {}\n\n"
    gaps = "".join(block.format(cpu, core) for cpu, core in ((0, 0), (2, 9), (5, 0)))
    whole = "".join(block.format(cpu, core) for cpu, core in ((0, 0), (1, 0), (2, 9)))
    assert not parse_cpuinfo(gaps.encode(), "x").efficiency
    assert parse_cpuinfo(whole.encode(), "x").efficiency == {2}
