"""The Ansible project: YAML that says the same, and names that are no patterns or templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml
from syrupy.assertion import SnapshotAssertion

from placer.emit.ansible import INVENTORY, PLAYBOOK, ansible_files
from placer.emit.export import export_plan
from placer.errors import InputError
from placer.model.fleet import Fleet
from placer.model.host import Host, Topology
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm, VmSpec
from tests.emit.drained import planned as planned_moves

SPEC = VmSpec(vcpus=1, memory_kib=1 << 20)
EVIL = "kvm[1:9]{{ lookup('pipe','id') }}\n- x: \""


class _Loader(yaml.SafeLoader):
    """YAML with Ansible's tag for texts that are no templates."""


_LOADED: Any = _Loader
_LOADED.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))


@pytest.fixture
def project(
    place: Callable[..., PlanVm],
    planned: Callable[..., Plan],
    fleet_of: Callable[..., Fleet],
    topology: Callable[..., Topology],
) -> tuple[Plan, Fleet]:
    """Return a plan over a plain host behind SSH and one with an evil name."""
    uri = "qemu+ssh://root@kvm-a.example.org:2222/system"
    hosts = (Host(name="kvm-a", topology=topology(), uri=uri), Host(name=EVIL, topology=topology()))
    plan = planned(place(SPEC, name="one"), place(SPEC, name="two", host=EVIL))
    return plan, fleet_of(Vm(name="one", spec=SPEC), Vm(name="two", spec=SPEC), hosts=hosts)


def test_inventory_names_hosts_and_their_scripts(project: tuple[Plan, Fleet]) -> None:
    """Each host has its own script, which is there; the SSH address is taken over; an evil name becomes a number."""
    files = ansible_files(*project)
    hosts = yaml.load(files[INVENTORY], Loader=_LOADED)["placer"]["hosts"]
    assert set(hosts) == {"kvm-a", "placer-host-2"}
    assert {entry["placer_script"] for entry in hosts.values()} == set(files) - {INVENTORY, PLAYBOOK}
    plain = hosts["kvm-a"]
    assert (plain["ansible_host"], plain["ansible_port"], plain["ansible_user"]) == ("kvm-a.example.org", 2222, "root")
    assert not any("{{" in line for line in files[INVENTORY].decode().splitlines())


def test_scripts_speak_to_their_own_machine(project: tuple[Plan, Fleet]) -> None:
    """A script holds its host's VMs only, and no address of another machine."""
    files = ansible_files(*project)
    script = files["scripts/kvm-a.sh"].decode()
    assert "qemu+ssh" not in script
    assert "vcpu 0" in script and "two" not in script


def test_golden(snapshot: SnapshotAssertion) -> None:
    """All files of a plan with a live, a cold and an off-line move, with hosts of names that are no addresses."""
    assert {name: content.decode() for name, content in ansible_files(*planned_moves("{}")).items()} == snapshot


def test_playbook_runs_the_script_of_each_host(project: tuple[Plan, Fleet]) -> None:
    """The playbook is one play over the inventory's group that runs each host's script, quoted."""
    (play,) = yaml.safe_load(ansible_files(*project)[PLAYBOOK])
    assert play["hosts"] == "placer"
    assert play["tasks"][0]["ansible.builtin.script"]["cmd"] == "{{ placer_script | quote }}"


def test_a_project_is_no_single_text(project: tuple[Plan, Fleet]) -> None:
    """Asked for as one text, it is refused with the cure."""
    with pytest.raises(InputError, match="no single file"):
        export_plan(*project, "ansible", None)
