"""Every line for OpenStack, those in comments too, through the parsers of its own command-line client."""

from __future__ import annotations

import re
import shlex
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import pytest

from placer.emit.export import export_plan
from placer.emit.platforms.create import create_lines
from tests.emit.drained import grown, planned
from tests.emit.stand_ins import OPENSTACK, run, words_of

pytestmark = pytest.mark.platforms


@pytest.fixture(scope="module")
def parsed() -> Callable[[list[str]], tuple[Namespace, Namespace]]:
    """Return a parser of words after ``openstack``: the client's own options, and those of the command."""
    shell = pytest.importorskip(
        "openstackclient.shell", reason="no openstackclient here: make platforms"
    ).OpenStackShell()
    for group in ("openstack.compute.v2", "openstack.common"):
        shell.command_manager.add_command_group(group)

    def parsed(words: list[str]) -> tuple[Namespace, Namespace]:
        options, rest = shell.parser.parse_known_args(words)
        command, name, arguments = shell.command_manager.find_command(rest)
        return options, command(shell, None, name).get_parser(name).parse_args(arguments)

    return parsed


def test_commands(
    tool: Callable[[str], Path], parsed: Callable[[list[str]], tuple[Namespace, Namespace]], tmp_path: Path
) -> None:
    """What the script runs, forth and back: the host is one of the plan, and where it was."""
    tool("bin/openstack")
    script = export_plan(*planned("{}"), "openstack", None)
    assert isinstance(script, str)
    for words in (("--apply",), ("--undo", "--apply")):
        assert run(script, tmp_path, *words, tools={"openstack": OPENSTACK})[0] == 0
    commands = [words[1:] for words in words_of(tmp_path) if words[0] == "openstack"]
    read = [parsed(words)[1] for words in commands]
    assert {one.host for one in read if getattr(one, "live_migration", None)} == {"n1", "n3"}
    # A host for a cold migration, and one that Nova's scheduler agrees to, are from this version of the API on.
    assert all(parsed(words)[0].os_compute_api_version == "2.56" for words in commands if "--host=n3" in words)


def test_comments(tool: Callable[[str], Path], parsed: Callable[[list[str]], tuple[Namespace, Namespace]]) -> None:
    """Server groups, aggregates and extra specs, as they are proposed for rules and new cells."""
    tool("bin/openstack")
    text = str(export_plan(*grown("{}"), "openstack", None))
    proposed = [part for line in re.findall(r"^#.*?(openstack .*)$", text, re.M) for part in line.split("; ")]
    read = [parsed(shlex.split(one)[1:])[1] for one in proposed]
    assert {getattr(one, "policy", None) for one in read} >= {"anti-affinity"}
    assert any(getattr(one, "properties", None) == {"placer-2": "true"} for one in read)
    specs = re.findall(r"^# flavor (\S+) for new cells.*?: (.*)$", text, re.M)
    for flavor, properties in specs:
        made = parsed(["flavor", "set", flavor, *shlex.split(properties)])[1].properties
        assert made["hw:numa_nodes"] in ("1", "2") and made["hw:cpu_policy"] == "dedicated"


def test_new_servers(
    tool: Callable[[str], Path], parsed: Callable[[list[str]], tuple[Namespace, Namespace]], tmp_path: Path
) -> None:
    """Flavors and servers that `fit --to openstack` proposes; a host is taken from the version that is asked for."""
    tool("bin/openstack")
    plan, fleet = grown("{}")
    placed = [(vm, fleet.vm_by_name[vm.name]) for vm in plan.vms]
    read = [parsed(shlex.split(line)[1:]) for line in create_lines(placed, "openstack") if not line.startswith("#")]
    servers = [(options, one) for options, one in read if getattr(one, "server_name", None)]
    assert {one.host for _, one in servers} == {vm.host for vm in plan.vms} and len(servers) == len(plan.vms)
    assert {options.os_compute_api_version for options, _ in servers} == {"2.74"}
    assert any(getattr(one, "ram", None) == 4096 for _, one in read)
