"""What a plan leaves as it is: apply and verify leave it alone, whatever it is pinned to or not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from placer.model.plan import Change
from tests.libvirt.mock_host import URI, MockHost

pytestmark = pytest.mark.libvirt

Run = Callable[..., tuple[int, str, str]]
PINS = "<cputune><vcpupin vcpu='0' cpuset='4'/><vcpupin vcpu='1' cpuset='5'/><emulatorpin cpuset='6-7'/></cputune>"
STRICT = "<numatune><memory mode='strict' nodeset='0'/></numatune>"
KINDS = {
    "floats": "",
    "preferred": "<numatune><memory mode='preferred' nodeset='0'/></numatune>",
    "strict-set": "<numatune><memory mode='strict' nodeset='0-1'/></numatune>",
    "pinned": PINS + STRICT,
    "pins-alone": "<cputune><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='2'/></cputune>",
}


@pytest.fixture
def planned(mock: MockHost, run: Run) -> MockHost:
    """Return a host with domains of every kind, half of them running, and a plan of what was imported of it."""
    for number, (name, inside) in enumerate(KINDS.items()):
        mock.define(name, inside=inside, runs=number % 2 == 0)
    mock.define("running-floats", runs=True)
    code, _, err = run("import", "libvirt", "--connect", f"mock={URI}", "-o", "fleet.yaml")
    assert code == 0, err
    path = mock.folder / "fleet.yaml"
    tree = yaml.safe_load(path.read_text())
    # The mock driver's own domain has 8 GiB on a host of 6 GiB.
    tree["vms"] = [vm for vm in tree["vms"] if vm["name"] != "test"]
    path.write_text(yaml.safe_dump(tree))
    code, _, err = run("solve", "fleet.yaml", "-o", "plan.json", "--time-limit", "10s")
    assert code == 0, err
    plan = json.loads((mock.folder / "plan.json").read_text())
    assert {vm["name"]: vm["change"] for vm in plan["vms"] if vm["change"] != Change.NONE.value} == {}
    return mock


def test_what_stays_is_not_touched(planned: MockHost, run: Run) -> None:
    """Nothing to do in a dry run and in earnest, and nothing drifts: a VM that floats gets no cpuset of the host."""
    names = [*KINDS, "running-floats"]
    before = {name: planned.xml(name) for name in names}
    for arguments in (("apply", "plan.json", "--json"), ("apply", "plan.json", "--apply", "--json")):
        code, out, err = run(*arguments)
        assert code == 0, err
        assert {vm["name"]: vm["status"] for vm in json.loads(out)["result"]["vms"]} == dict.fromkeys(
            names, "unchanged"
        )
        assert all(vm["restart"] is None for vm in json.loads(out)["result"]["vms"])
    assert {name: planned.xml(name) for name in names} == before
    code, _, err = run("verify", "plan.json")
    assert code == 0, err


def test_what_stays_and_was_changed_by_hand_is_named_and_put_back(planned: MockHost, run: Run) -> None:
    """Its own pins are planned, even though the plan changes nothing."""
    planned.define("pinned", inside=PINS.replace("'4'", "'3'") + STRICT.replace("'0'", "'1'"))
    code, _, err = run("verify", "plan.json")
    assert code == 6
    assert "VM 'pinned' on host 'mock': definition: vCPU 0: 3, planned 4" in err
    assert "VM 'pinned' on host 'mock': definition: memory: strict on node 1, planned strict on node 0" in err
    assert run("apply", "plan.json", "--apply")[0] == 0
    assert run("verify", "plan.json")[0] == 0


def test_a_live_pin_of_what_stays_is_a_drift(planned: MockHost, run: Run) -> None:
    """Of vCPUs that are pinned; one that floats may run anywhere, where somebody put it too."""
    elsewhere = (True, *[False] * 7)
    planned.raw.lookupByName("pins-alone").pinVcpu(1, elsewhere)
    planned.raw.lookupByName("running-floats").pinVcpu(1, elsewhere)
    code, _, err = run("verify", "plan.json")
    assert code == 6
    assert "VM 'pins-alone' on host 'mock': running: vCPU 1: 0, planned 2" in err
    assert "running: vCPU" not in err.replace("VM 'pins-alone' on host 'mock': running: vCPU 1", "")
