"""Pins of a domain and the policies they amount to."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from placer.model.vm import CpuPolicy, EmulatorPolicy
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


@pytest.mark.parametrize(
    ("emulator", "policy"), [("4", EmulatorPolicy.SHARE), ("4-7", EmulatorPolicy.SHARE), ("0-4", None), ("0", None)]
)
def test_emulator_on_the_vms_own_cpus_is_share(emulator: str, policy: EmulatorPolicy | None) -> None:
    """Emulator threads inside the vCPUs' CPUs share; anything else is left to the host's default."""
    pins = vcpupins({0: "4", 1: "5", 2: "6", 3: "7"})
    body = pins.replace("</cputune>", f"<emulatorpin cpuset='{emulator}'/></cputune>")
    reading = read(body)
    assert reading.spec.emulator_threads is policy
    assert reading.emulator is not None


def test_emulator_without_pins_of_vcpus_says_nothing() -> None:
    """Where vCPUs float, an emulatorpin says nothing of sharing."""
    assert read("<cputune><emulatorpin cpuset='0'/></cputune>").spec.emulator_threads is None
