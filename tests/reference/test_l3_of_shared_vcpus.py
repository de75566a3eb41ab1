"""A rule of one L3 domain for VMs of which some vCPUs float: their domain is that of the CPUs to float over."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.truth.cases import Case
from benchmarks.truth.race import fleet_of, planned, race, reference
from solvers.choice import Engine


def one_vm(host: dict[str, Any]) -> Case:
    """Return a host with a VM to place, of a vCPU that floats and a dedicated one, both in one L3 domain."""
    vm = {"name": "v", "vcpus": 2, "memory": "256MiB", "cpu_policy": "mixed", "dedicated_vcpus": "1-1"}
    inventory = {
        "schema": "placer.inventory/v1",
        "hosts": [host],
        "vms": [{**vm, "cells": "none", "labels": {"app": "a"}}],
        "rules": [{"affinity": {"app": "a"}, "scope": "l3"}],
    }
    return Case(inventory=inventory, goals="placed")


@pytest.mark.parametrize("isolated", ["9", "8-9"])
@pytest.mark.parametrize("engine", ["auto", "exact", "columns", "greedy"])
def test_dedicated_vcpus_are_in_the_domain_of_those_that_float(engine: Engine, isolated: str) -> None:
    """One vCPU floats over CPUs of a domain, so that the dedicated one of the same VM is there, or nowhere."""
    host = {
        "name": "h",
        "nodes": [{"id": 0, "cpus": "7-9", "memory": "4GiB"}],
        "l3": ["7-8", "9"],
        "isolated_cpus": isolated,
    }
    case = one_vm(host)
    assert reference(case).values["placed"][0] == 0
    assert race(case, engine).wrong == ()
    assert planned(case, fleet_of(case.inventory), engine).vm_by_name["v"].pins[1] <= {7, 8}


@pytest.mark.parametrize("engine", ["auto", "exact", "columns", "greedy"])
def test_no_place_where_the_domain_is_full(engine: Engine) -> None:
    """Beside the vCPU that floats over its only CPU there is no other in the domain: the VM has no place."""
    host = {"name": "h", "nodes": [{"id": 0, "cpus": "8-9", "memory": "4GiB"}], "l3": ["8", "9"], "isolated_cpus": "9"}
    case = one_vm(host)
    assert reference(case).values["placed"][0] == 2
    assert race(case, engine).wrong == ()


@pytest.mark.parametrize("engine", ["auto", "exact", "columns"])
def test_dedicated_vcpus_fill_a_domain_where_no_member_floats(engine: Engine) -> None:
    """A VM of four dedicated vCPUs has the domain of four alone; a member that floats, left out, keeps no CPU of it."""
    host = {"name": "h", "nodes": [{"id": 0, "cpus": "0-3", "memory": "4GiB"}], "l3": ["0-3"]}
    case = one_vm(host)
    case.inventory["vms"].append({"name": "w", "vcpus": 4, "memory": "256MiB", "labels": {"app": "a"}})
    assert reference(case).values["placed"][0] == 2
    assert race(case, engine).wrong == ()
    assert planned(case, fleet_of(case.inventory), engine).goal("placed").value == 2
