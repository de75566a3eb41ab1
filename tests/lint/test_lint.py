"""Lint: each rule speaks where it should, and is silent on the sound twin of the same fleet."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from placer.emit.domain.files import source_xml
from placer.lint.lint import RULE_NAMES, lint
from placer.model.fleet import Fleet
from placer.model.host import HostSettings

Build = Any
GIB = 1024 * 1024


def rules_of(fleet: Fleet) -> set[str]:
    """Return the rules that say something."""
    return {remark.rule for remark in lint(fleet, source_xml)}


def without_xml(build: Build, rule: str, bad: bool) -> Fleet:
    """Return a fleet on hosts of two nodes with 4 CPUs in 2 cores and 16 GiB that offends one rule, or its twin."""
    host, spec, current = build.host(), build.spec(2, 2), None
    match rule:
        case "odd-vcpus":
            spec = build.spec(5 if bad else 6, 2, cells="auto")
        case "more-cells-than-needed":
            spec = build.spec(4 if bad else 8, 2, cells=2)
        case "cell-wider-than-cores":
            spec = build.spec(3 if bad else 2, 2, cells=1)
        case "memory-over-node":
            spec = build.spec(2, 17 if bad else 16)
        case "hotplug-with-numa":
            spec = build.spec(8, 2, cells=2, vcpus_current=6 if bad else 8)
        case "emulator-on-own-cpus":
            pins = {0: frozenset({0}), 1: frozenset({2})}
            current = build.now(pins=pins, emulator=frozenset({0 if bad else 1}))
        case "pins-over-isolated":
            host = build.host(isolated_cpus=frozenset({0} if bad else {4}))
            current = build.now(pins={0: frozenset({0, 1}), 1: frozenset({2})})
        case "swap-beside-strict":
            host = build.host(settings=HostSettings(swap_kib=GIB if bad else 0))
            current = build.now()
        case "numa-balancing":
            host = build.host(settings=HostSettings(numa_balancing=bad))
        case "ksm-across-nodes":
            host = build.host(settings=HostSettings(ksm=True, ksm_across_nodes=bad))
        case "thp":
            host = build.host(settings=HostSettings(thp="never" if bad else "madvise"))
        case "numad":
            host = build.host(settings=HostSettings(numad=bad))
        case _:
            raise AssertionError(rule)
    made: Fleet = build.fleet([host], [build.vm("v", spec, current=current)])
    return made


XML: Mapping[str, tuple[str, str]] = {
    "sockets-not-cells": (
        "<cpu><topology sockets='1' cores='8' threads='1'/></cpu>",
        "<cpu><topology sockets='2' cores='4' threads='1'/></cpu>",
    ),
    "pins-over-siblings": (
        "<cpu><topology sockets='2' cores='4' threads='1'/></cpu>",
        "<cpu><topology sockets='2' cores='2' threads='2'/></cpu>",
    ),
    "ballooning-beside-strict": (
        "<memory unit='GiB'>2</memory><currentMemory unit='MiB'>1024</currentMemory>"
        "<numatune><memory mode='strict'/></numatune>",
        "<memory unit='GiB'>2</memory><currentMemory unit='MiB'>2048</currentMemory>"
        "<numatune><memory mode='strict'/></numatune>",
    ),
    "numad-placement": (
        "<numatune><memory placement='auto'/></numatune>",
        "<numatune><memory nodeset='0'/></numatune>",
    ),
    "hugepages-name-host-nodes": (
        "<memoryBacking><hugepages><page size='2' unit='MiB' nodeset='1'/></hugepages></memoryBacking>",
        "<memoryBacking><hugepages><page size='2' unit='MiB' nodeset='0'/></hugepages></memoryBacking>",
    ),
}
"""Rule -> the inside of a domain that offends it, and of one that does not."""


def with_xml(build: Build, folder: Path, rule: str, bad: bool) -> Fleet:
    """Return a fleet of one VM with domain XML."""
    from placer.model.vm import DomainSource

    data = f"<domain>{XML[rule][0 if bad else 1]}</domain>".encode()
    (folder / "v.xml").write_bytes(data)
    spec = build.spec(8, 2, cells=2) if rule in ("sockets-not-cells", "pins-over-siblings") else build.spec(2, 2)
    pins = {vcpu: frozenset({vcpu}) for vcpu in range(spec.vcpus)}
    vm = build.vm("v", spec, current=build.now(pins=pins))
    vm = replace(vm, domain=DomainSource(path="v.xml", sha256=hashlib.sha256(data).hexdigest()))
    made: Fleet = build.fleet([build.host()], [vm], base_dir=str(folder))
    return made


@pytest.mark.parametrize("rule", RULE_NAMES)
def test_rule_speaks_and_is_silent(build: Build, tmp_path: Path, rule: str) -> None:
    """Every rule names its offence with a cure, and says nothing of the twin without it."""
    make: Callable[[bool], Fleet] = (
        (lambda bad: with_xml(build, tmp_path, rule, bad))
        if rule in XML
        else (lambda bad: without_xml(build, rule, bad))
    )
    offended = [remark for remark in lint(make(True), source_xml) if remark.rule == rule]
    assert len(offended) == 1 and offended[0].cure and "'" in offended[0].subject
    assert rule not in rules_of(make(False))


def test_thp_always_beside_huge_pages(build: Build) -> None:
    """Transparent huge pages that are always on are named only where VMs have huge pages of their own."""
    host = build.host(settings=HostSettings(thp="always"))
    assert "thp" in rules_of(build.fleet([host], [build.vm("v", build.spec(page_kib=2048))]))
    assert "thp" not in rules_of(build.fleet([host], [build.vm("v", build.spec())]))


def test_unknown_settings_say_nothing(build: Build) -> None:
    """A host that tells nothing of its settings is not accused of anything."""
    assert not rules_of(build.fleet([build.host()], [build.vm("v", build.spec(), current=build.now())]))


def test_hostile_name_stays_on_one_line(build: Build) -> None:
    """A newline in a VM's name does not forge a second remark."""
    remarks = lint(
        build.fleet([build.host()], [build.vm("a\nodd-vcpus: b", build.spec(5, 2, cells="auto"))]), source_xml
    )
    assert len(remarks) == 1 and "\n" not in str(remarks[0])
