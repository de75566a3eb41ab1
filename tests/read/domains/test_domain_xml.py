"""Domain XML as a whole: the golden guests, hostile input, and what is read out of everything at once."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from placer.errors import InputError, PlacerError
from placer.model.vm import CellMode, CpuPolicy, Movable
from placer.read.domains.domain_xml import read_domain

DOMAINS = Path(__file__).parents[2] / "domains"
MINIMAL = b"<domain type='kvm'><name>a</name><memory>1024</memory></domain>"


def read(name: str, **options: CpuPolicy):  # type: ignore[no-untyped-def]
    """Read one of the domains made for the tests."""
    return read_domain((DOMAINS / name).read_bytes(), name, **options)


def test_five_vcpus_as_five_sockets() -> None:
    """Five vCPUs as five sockets are one flat guest, dedicated for want of pins, and that is said."""
    reading = read("five_sockets.xml")
    assert (reading.name, reading.uuid) == ("five-sockets", "0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f0005")
    assert (reading.spec.vcpus, reading.spec.memory_kib, reading.spec.cell_mode) == (5, 4 << 20, CellMode.NONE)
    assert reading.spec.cpu_policy is CpuPolicy.DEDICATED
    assert reading.notes == ("no vCPU is pinned",)
    assert not reading.running


def test_two_cells_of_512000_kib() -> None:
    """Two cells of 512,000 KiB, one in MiB and one shared, are read exactly; memAccess is kept."""
    spec = read("two_cells.xml").spec
    assert spec.cell_mode is CellMode.GIVEN
    assert [cell.memory_kib for cell in spec.cells] == [512_000, 512_000]
    assert [sorted(cell.vcpus) for cell in spec.cells] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert [cell.mem_access for cell in spec.cells] == ["shared", None]
    assert spec.memory_kib == 1_024_000


def test_default_pin_holds_for_every_vcpu() -> None:
    """``cpuset="1-4,^3,6"`` is the pin of all vCPUs, which so are shared."""
    reading = read("default_pin.xml")
    assert reading.pins == dict.fromkeys(range(4), frozenset({1, 2, 4, 6}))
    assert reading.spec.cpu_policy is CpuPolicy.SHARED


def test_vcpupin_goes_before_the_default_pin() -> None:
    """A vcpupin holds against the cpuset of ``<vcpu>``; pinned and floating vCPUs make a mixed VM."""
    reading = read("default_pin_and_vcpupin.xml")
    floating = frozenset({1, 2, 4, 6})
    assert reading.pins == {0: frozenset({8}), 1: floating, 2: frozenset({10}), 3: floating}
    assert reading.spec.cpu_policy is CpuPolicy.MIXED
    assert reading.spec.dedicated_vcpus == {0, 2}


def test_reads_everything_at_once() -> None:
    """A domain with every construct gives its sizes, threads, pages, devices, manager and state."""
    reading = read("everything.xml")
    spec = reading.spec
    assert reading.name == 'every & <thing> "it\'s"'
    assert (spec.vcpus, spec.vcpus_current, spec.page_kib, spec.iothreads) == (8, 6, 2048, (1, 2, 7))
    assert [cell.memory_kib for cell in spec.cells] == [4 << 20, 5 << 20]
    assert spec.emulator_threads is None
    assert reading.emulator == {0, 1}
    assert reading.iothread_pins == {7: frozenset({12, 13})}
    assert reading.movable is Movable.NO
    assert reading.movable_why[0] == "hostdev pci 0000:3b:10.2"
    assert reading.manager == "OpenStack Nova"
    assert reading.running


@pytest.mark.parametrize(
    "named",
    [
        "<cputune> <shares>",
        "<cputune> <quota>",
        "<cputune> <cachetune>",
        "<cputune> <memorytune>",
        "<memoryBacking> <nosharepages>",
        "guest <cell> <cache>",
        "guest <cell> discard='yes'",
        "<interconnects>",
        "<pagesize>",
        "<qemu:commandline>",
        "OpenStack Nova",
    ],
)
def test_names_what_it_does_not_understand(named: str) -> None:
    """Every construct that the planner does not use is named in a note, with its line where it has one."""
    notes = [note for note in read("everything.xml").notes if named in note]
    assert len(notes) == 1
    assert named == "OpenStack Nova" or re.match(r"line \d+: ", notes[0])


def test_unpinned_vcpus_count_as_asked() -> None:
    """The caller may have vCPUs without pins count as shared."""
    reading = read("five_sockets.xml", unpinned=CpuPolicy.SHARED)
    assert reading.spec.cpu_policy is CpuPolicy.SHARED
    assert reading.notes == ("no vCPU is pinned",)
    with pytest.raises(InputError, match="dedicated or as shared"):
        read("five_sockets.xml", unpinned=CpuPolicy.MIXED)


def test_defaults_of_libvirt() -> None:
    """Without ``<vcpu>`` there is one vCPU, without a unit memory is in KiB, without type kvm no KVM is needed."""
    reading = read_domain(MINIMAL, "a.xml")
    assert (reading.spec.vcpus, reading.spec.memory_kib, reading.spec.kvm) == (1, 1024, True)
    other = read_domain(MINIMAL.replace(b"kvm", b"lxc"), "a.xml")
    assert not other.spec.kvm
    assert any("'lxc'" in note for note in other.notes)


def test_reads_the_domain_in_libvirts_own_files() -> None:
    """A status file and a snapshot hold a domain, which is read."""
    for envelope in ("domstatus", "domainsnapshot"):
        data = f"<{envelope}>".encode() + MINIMAL + f"</{envelope}>".encode()
        assert read_domain(data, "a.xml").name == "a"


def test_normalises_the_uuid() -> None:
    """A UUID without dashes and in capitals is the same UUID."""
    data = MINIMAL.replace(b"</name>", b"</name><uuid>0B0C5A526F0E4B6E9C550D7E6A2F0005</uuid>")
    assert read_domain(data, "a.xml").uuid == "0b0c5a52-6f0e-4b6e-9c55-0d7e6a2f0005"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"<domain", b"<network", "not well-formed"),
        (b"<name>a</name>", b"", "no name"),
        (b"<memory>1024</memory>", b"", "neither <memory> nor guest cells"),
        (b"<memory>1024</memory>", b"<memory>0</memory>", "the guest has no memory"),
        (b"1024", b"lots", "no number"),
        (b"<memory>", b"<memory unit='furlong'>", "unknown unit"),
        (b"<memory>", b"<uuid>xyz</uuid><memory>", "no UUID"),
        (b"<memory>", b"<vcpu>0</vcpu><memory>", "no whole number from 1"),
        (b"<memory>", b"<vcpu>4294967295</vcpu><memory>", "no whole number"),
        (b"<memory>", b"<vcpu>99999999999999999999</vcpu><memory>", "no whole number"),
        (b"<memory>", b"<vcpu current='5'>4</vcpu><memory>", "5 vCPUs are online of at most 4"),
        (b"<memory>", b"<vcpu cpuset='aaa'>4</vcpu><memory>", "not a CPU list"),
        (b"<memory>", b"<vcpu cpuset='0-99999'>4</vcpu><memory>", "above the largest"),
        (b"<memory>", b"<iothreads>-1</iothreads><memory>", "no whole number"),
        (
            b"<memory>",
            b"<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='0' cpuset='2'/></cputune><memory>",
            "twice",
        ),
    ],
)
def test_refuses_with_the_line(old: bytes, new: bytes, message: str) -> None:
    """Figures that are none are refused with file and line."""
    with pytest.raises(InputError, match=message) as caught:
        read_domain(MINIMAL.replace(old, new), "bad.xml")
    assert (caught.value.faults[0].file, caught.value.faults[0].line) == ("bad.xml", 1)


def test_refuses_another_kind_of_xml() -> None:
    """XML of something else is refused by its root."""
    with pytest.raises(InputError, match="<network>"):
        read_domain(b"<network/>", "net.xml")


def test_names_all_faults_at_once() -> None:
    """Several faults come in one error, one line each."""
    bad = b"<domain type='kvm'><uuid>x</uuid><vcpu>none</vcpu><iothreads>-3</iothreads></domain>"
    with pytest.raises(InputError) as caught:
        read_domain(bad, "bad.xml")
    assert len(caught.value.faults) == 4


def test_damaged_files_raise_only_placer_errors() -> None:
    """Bytes flipped, lines cut, figures swapped: whatever comes, it is read or refused, never a traceback."""
    chance = random.Random(20240817)
    originals = [path.read_bytes() for path in sorted(DOMAINS.glob("*.xml"))]
    tokens = [b"", b"-1", b"99999999999999999999", b"aaa", b"0-4294967295", b"^1", b"\xff", b"1.5", "٣".encode()]
    refused = 0
    for _ in range(3000):
        data = _damage(chance, chance.choice(originals), tokens)
        try:
            read_domain(data, "damaged.xml")
        except PlacerError:
            refused += 1
    assert 0 < refused < 3000


def _damage(chance: random.Random, data: bytes, tokens: list[bytes]) -> bytes:
    for _ in range(chance.randint(1, 4)):
        kind = chance.random()
        if kind < 0.25:
            at = chance.randrange(len(data))
            data = data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        elif kind < 0.5:
            lines = data.split(b"\n")
            del lines[chance.randrange(len(lines))]
            data = b"\n".join(lines) or b"x"
        else:
            found = list(re.finditer(rb"(?<=')[^'\n]*(?=')|(?<=>)[^<>\n]+(?=<)", data)) or [re.match(b".", data)]
            match = chance.choice(found)
            assert match is not None
            data = data[: match.start()] + chance.choice(tokens) + data[match.end() :]
    return data


def test_vcpus_that_are_off_need_no_pin() -> None:
    """Only vCPUs that are online count among those that are not pinned."""
    pins = "<cputune><vcpupin vcpu='0' cpuset='3'/>{}</cputune>"
    xml = f"<domain><name>a</name><memory>4096</memory><vcpu current='2'>8</vcpu>{pins}</domain>"
    half = read_domain(xml.format("").encode(), "a.xml").notes
    whole = read_domain(xml.format("<vcpupin vcpu='1' cpuset='4'/>").encode(), "a.xml").notes
    assert [note for note in half if "pinned" in note] == ["1 of 2 vCPUs is not pinned"]
    assert not [note for note in whole if "pinned" in note]
