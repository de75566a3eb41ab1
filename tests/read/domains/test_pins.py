"""Pins of a domain and the policies they amount to."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from placer.model.vm import CpuPolicy
from placer.read.domains.domain_xml import read_domain
from placer.read.domains.reading import DomainReading


def read(body: str, vcpu: str = "<vcpu>4</vcpu>") -> DomainReading:
    """Read a flat domain with this body."""
    return read_domain(f"<domain type='kvm'><name>a</name><memory>4</memory>{vcpu}{body}</domain>".encode(), "a.xml")


def vcpupins(pins: Mapping[int, str]) -> str:
    """Return a cputune with these vcpupins."""
    rows = "".join(f"<vcpupin vcpu='{vcpu}' cpuset='{cpus}'/>" for vcpu, cpus in pins.items())
    return f"<cputune>{rows}</cputune>"


@pytest.mark.parametrize(
    ("pins", "policy", "dedicated"),
    [
        ({0: "4", 1: "5", 2: "6", 3: "7"}, CpuPolicy.DEDICATED, set()),
        ({0: "4", 1: "4", 2: "4", 3: "4"}, CpuPolicy.SHARED, set()),
        ({0: "4-7", 1: "4-7", 2: "4-7", 3: "4-7"}, CpuPolicy.SHARED, set()),
        ({0: "4", 1: "5", 2: "6-7", 3: "6-7"}, CpuPolicy.MIXED, {0, 1}),
        ({0: "4", 1: "5", 2: "6", 3: "6"}, CpuPolicy.MIXED, {0, 1}),
        ({0: "4", 1: "5"}, CpuPolicy.DEDICATED, set()),
        ({0: "4-5", 1: "4-5"}, CpuPolicy.MIXED, {2, 3}),
        ({}, CpuPolicy.DEDICATED, set()),
    ],
)
def test_policy_follows_from_pins(pins: dict[int, str], policy: CpuPolicy, dedicated: set[int]) -> None:
    """One CPU of its own is dedicated, several or a common one shared, both mixed; no pin counts as dedicated."""
    spec = read(vcpupins(pins)).spec
    assert (spec.cpu_policy, spec.dedicated_vcpus) == (policy, dedicated)


def test_automatic_placement_is_no_pin() -> None:
    """The cpuset beside ``placement='auto'`` is numad's, not the person's; that is noted."""
    reading = read("", "<vcpu placement='auto' cpuset='0-3'>4</vcpu>")
    assert reading.pins == {}
    assert any("numad" in note for note in reading.notes)


def test_an_empty_cpuset_is_no_pin() -> None:
    """``0,^0`` names no CPU: it is noted and read as not given."""
    reading = read("", "<vcpu cpuset='0,^0'>4</vcpu>")
    assert reading.pins == {}
    assert any("empty cpuset" in note for note in reading.notes)


def test_pins_of_threads_that_are_not_there_are_noted() -> None:
    """A vcpupin or iothreadpin beyond the domain's threads is left out and named."""
    reading = read("<cputune><vcpupin vcpu='9' cpuset='1'/><iothreadpin iothread='3' cpuset='1'/></cputune>")
    assert (reading.pins, reading.iothread_pins) == ({}, {})
    assert sum("left out" in note for note in reading.notes) == 2


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        ("", ()),
        ("<iothreads>2</iothreads>", (1, 2)),
        ("<iothreads>4</iothreads><iothreadids><iothread id='5'/><iothread id='6'/></iothreadids>", (1, 2, 5, 6)),
        ("<iothreads>1</iothreads><iothreadids><iothread id='9'/><iothread id='1'/></iothreadids>", (1, 9)),
        ("<iothreads>3</iothreads><iothreadids><iothread id='2'/></iothreadids>", (1, 2, 3)),
    ],
)
def test_iothread_ids_are_filled_as_libvirt_does(body: str, ids: tuple[int, ...]) -> None:
    """Named ids first, then the lowest free ones up to the count."""
    assert read(body).spec.iothreads == ids


@pytest.mark.parametrize("emulator", ["4", "4-7", "0-4", "0"])
def test_an_emulatorpin_is_a_pin_and_no_policy(emulator: str) -> None:
    """Emulator threads stay where they are while the VM does; what a policy asks later still holds."""
    pins = vcpupins({0: "4", 1: "5", 2: "6", 3: "7"})
    reading = read(pins.replace("</cputune>", f"<emulatorpin cpuset='{emulator}'/></cputune>"))
    assert reading.spec.emulator_threads is None
    assert reading.emulator is not None


def test_vcpus_that_are_online_are_those_enabled() -> None:
    """``<vcpus>`` may leave holes; without it the first ones are online."""
    listed = "".join(
        f"<vcpu id='{n}' enabled='{'no' if n in (1, 2) else 'yes'}' hotpluggable='yes'/>" for n in range(4)
    )
    spec = read(f"<vcpus>{listed}</vcpus>", vcpu="<vcpu current='2'>4</vcpu>").spec
    assert (spec.vcpus, spec.vcpus_current, spec.offline_vcpus) == (4, 2, {1, 2})
    assert [spec.is_online(vcpu) for vcpu in range(4)] == [True, False, False, True]
    spec = read("", vcpu="<vcpu current='2'>4</vcpu>").spec
    assert (spec.vcpus_current, spec.offline_vcpus) == (2, frozenset())
    assert [spec.is_online(vcpu) for vcpu in range(4)] == [True, True, False, False]


def test_vcpus_that_are_not_there_have_no_cpu_of_their_own() -> None:
    """Four vCPUs online on CPUs of their own, of a maximum of eight: four dedicated ones."""
    spec = read(vcpupins({n: str(n) for n in range(4)}), vcpu="<vcpu current='4'>8</vcpu>").spec
    assert (spec.cpu_policy, spec.dedicated_vcpus) == (CpuPolicy.MIXED, frozenset(range(4)))


@pytest.mark.parametrize(
    ("sets", "policy", "dedicated"),
    [
        (("0,8", "0,8", "1,9", "1,9"), CpuPolicy.DEDICATED, ()),
        (("0,8", "0,8", "1,9", "1"), CpuPolicy.MIXED, (3,)),
        (("0,8", "0,8", "0,8", "0,8"), CpuPolicy.SHARED, ()),
        (("0,8", "0,8", "8,9", "8,9"), CpuPolicy.SHARED, ()),
        (("0-3", "0-3", "0-3", "0-3"), CpuPolicy.SHARED, ()),
    ],
)
def test_pairs_on_the_threads_of_a_core_are_dedicated(
    sets: tuple[str, ...], policy: CpuPolicy, dedicated: tuple[int, ...]
) -> None:
    """As many vCPUs as CPUs, two and two: nobody else may have them. One such set alone is a plain cpuset."""
    spec = read(vcpupins(dict(enumerate(sets)))).spec
    assert (spec.cpu_policy, tuple(spec.dedicated_vcpus)) == (policy, dedicated)


def test_emulator_without_pins_of_vcpus_says_nothing() -> None:
    """Where vCPUs float, an emulatorpin says nothing of sharing."""
    assert read("<cputune><emulatorpin cpuset='0'/></cputune>").spec.emulator_threads is None


def test_real_time_vcpus_are_read() -> None:
    """vCPUs under FIFO or RR are told of the VM; a batch scheduler rules nobody."""
    tune = (
        "<cputune><vcpusched vcpus='2-3' scheduler='fifo' priority='1'/>"
        "<vcpusched vcpus='0' scheduler='batch'/><vcpusched vcpus='7' scheduler='rr' priority='1'/></cputune>"
    )
    xml = f"<domain type='kvm'><name>v</name><memory>4096</memory><vcpu>4</vcpu>{tune}</domain>".encode()
    assert read_domain(xml, "v.xml").spec.real_time == {2, 3}
