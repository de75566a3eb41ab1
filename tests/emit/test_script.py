"""What all scripts share: one line for any name, hosts in order, sections that belong to them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placer.emit.script import by_host, comment, label, quote, script, script_files
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanVm
from placer.model.vm import Vm, VmSpec

HOST = 'host() { selected "$1" && printf "%s|%s\\n" "$1" "$2"; }\n'


@given(st.text())
def test_a_comment_is_one_line(text: str) -> None:
    """Line ends and control characters are shown, not obeyed."""
    shown = comment(text)
    assert shown.startswith("# ")
    assert len(shown.splitlines()) == 1
    assert shown.isprintable()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=40))
def test_a_quoted_word_is_that_word(word: str) -> None:
    """bash gives any word back as it was."""
    bash = shutil.which("bash")
    assert bash is not None
    done = subprocess.run([bash, "-c", f"printf %s {quote(word)}"], capture_output=True, check=True)
    assert done.stdout.decode() == word


@pytest.fixture
def two(
    place: Callable[..., PlanVm], planned: Callable[..., Plan], fleet_of: Callable[..., Fleet]
) -> tuple[Plan, Fleet]:
    """Return a plan of a VM on each of two hosts with hostile names."""
    spec = VmSpec(vcpus=1, memory_kib=1024)
    one = place(spec, (0,), name="one\nline", host="b'$(id)")
    other = replace(one, name="other", host="-a b")
    host = fleet_of().hosts[0]
    hosts = (replace(host, name="b'$(id)", uri="qemu:///b"), replace(host, name="-a b"))
    return planned(one, other), fleet_of(Vm(name="one\nline", spec=spec), Vm(name="other", spec=spec), hosts=hosts)


def test_sections_by_host(two: tuple[Plan, Fleet]) -> None:
    """Hosts come by name, each with its VMs; a label is one line."""
    plan, fleet = two
    assert {name: [vm.name for vm in vms] for name, vms in by_host(plan).items()} == {
        "-a b": ["other"],
        "b'$(id)": ["one\nline"],
    }
    assert label(plan.vms[0]) == "one\\nline"
    text = script(plan, fleet, "Test.", HOST, lambda host, vms: [f"  : {quote(vm.name)}" for vm in vms])
    done = subprocess.run(["bash", "-s"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout.decode()) == (0, "-a b|\nb'$(id)|qemu:///b\n")
    assert done.stderr.decode() == "0 pinned, 0 skipped, 0 failed\n"


def test_hosts_are_chosen_by_argument(two: tuple[Plan, Fleet]) -> None:
    """Only the hosts named are run; one that the plan lacks is refused with exit code 2."""
    plan, fleet = two
    text = script(plan, fleet, "Test.", HOST, lambda host, vms: ["  :"])
    done = subprocess.run(["bash", "-s", "--", "-a b"], input=text, capture_output=True, check=False)
    assert done.stdout == b"-a b|\n"
    done = subprocess.run(["bash", "-s", "--", "-a b", "gone"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (2, b"")


def test_one_file_a_host(two: tuple[Plan, Fleet]) -> None:
    """Files are named after their hosts, safely."""
    files = script_files(two[0], lambda part: repr([(vm.host, vm.name) for vm in part.vms]).encode())
    assert {name: data.decode() for name, data in files.items()} == {
        "%2Da b.sh": repr([("-a b", "other")]),
        "b%27%24(id).sh": repr([("b'$(id)", "one\nline")]),
    }
