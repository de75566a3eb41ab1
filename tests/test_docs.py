"""The documents: every command block runs, the reference is what the code says, every link leads somewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup

from placer.cli.app import VERBS, root_command
from placer.cli.terminal import Terminal

REPOSITORY = Path(__file__).parent.parent
PAGES = sorted((REPOSITORY / "docs").rglob("*.md"))
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANSWER = re.compile(r"^`[^`]+` says\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```(\w*)$", re.MULTILINE)
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^(?:    |\t)(?:placer|virsh|dask|pip|make|sudo|ansible)\b.*", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]+)")

FLAVORS = '[{"ID": "f", "Name": "f", "RAM": 4096, "VCPUs": 4, "Properties": {"hw:cpu_policy": "dedicated"}}]'
SERVERS = (
    '[{"ID": "0f0e0d0c-0b0a-0908-0706-050403020101", "Name": "web", "Status": "ACTIVE", "Flavor ID": "f", '
    '"Host": "compute1"}]'
)
HYPERVISORS = '[{"ID": 1, "Hypervisor Hostname": "compute1", "State": "up", "vCPUs": 128, "Memory MB": 515000}]'
RESOURCES = (
    '[{"id": "node/pve1", "type": "node", "node": "pve1", "status": "online", "maxcpu": 40, "maxmem": 68476207104}, '
    '{"id": "qemu/100", "type": "qemu", "vmid": 100, "name": "web", "node": "pve1", "status": "running"}]'
)
CONFIG = '{"name": "web", "cores": 4, "sockets": 1, "memory": "4096", "numa": 0, "scsi0": "ceph:vm-100-disk-0"}'

LIVE = """\
schema: placer.inventory/v1
hosts:
  - name: kvm
    count: 2
    nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "4-7", memory: 8GiB}]
    reserve: {cpus: "0,4", memory: 1GiB}
vms:
  - {name: db, vcpus: 2, memory: 2GiB, cells: none, host: kvm-1, nodes: [0], memory_nodes: [1]}
  - {name: web, vcpus: 2, memory: 2GiB, cells: none, host: kvm-2, nodes: [1]}
"""
MAP = """\
schema: placer.map/v1
hosts:
  file: hosts.csv
  entry: {name: "{host}", nodes: [{id: 0, cpu_count: "{cpus}", memory: "{gib}GiB"}]}
vms:
  file: vms.csv
  entry: {name: "{vm}", vcpus: "{cpus}", memory: "{gib}GiB", cells: none, host: "{host}", nodes: [0]}
"""
MANAGED = """\
schema: placer.inventory/v1
hosts:
  - {name: n1, state: drain, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "4-7", memory: 8GiB}]}
  - {name: n2, nodes: [{id: 0, cpus: "0-3", memory: 8GiB}, {id: 1, cpus: "4-7", memory: 8GiB}]}
vms:
  - {name: db, uuid: 0f0e0d0c-0b0a-4908-8706-050403020101, manager_id: "101", vcpus: 2, memory: 2GiB,
     cells: none, host: n1, nodes: [0]}
"""
RACKS = """\
schema: placer.inventory/v1
hosts:
  - name: new
    count: 2
    nodes: [{id: 0, cpus: "0-15", memory: 64GiB}, {id: 1, cpus: "16-31", memory: 64GiB}]
    reserve: {cpus: "0", memory: 1GiB}
    labels: {rack: r1}
  - name: old
    nodes: [{id: 0, cpus: "0-7", memory: 16GiB}, {id: 1, cpus: "8-15", memory: 16GiB}]
    labels: {rack: r2}
vms:
  - {name: db, count: 3, vcpus: 4, memory: 4GiB, cells: none}
"""
_HOST = """\
  - name: kvm-{number}
    nodes: [{{id: 0, cpus: "0-7", memory: 32GiB}}, {{id: 1, cpus: "8-15", memory: 32GiB}}]
    labels: {{rack: {rack}}}
"""
_ON = "host: kvm-{}, nodes: [{}], memory_nodes: [{}]"
MONDAY = f"""\
schema: placer.inventory/v1
hosts:
{"".join(_HOST.format(number=number, rack=f"r{(number + 1) // 2}") for number in range(1, 5))}vms:
  - {{name: db-1, vcpus: 4, memory: 16GiB, cells: none, {_ON.format(1, 0, 1)}}}
  - {{name: db-2, vcpus: 4, memory: 8GiB, cells: none, {_ON.format(2, 1, 0)}}}
  - {{name: web-1, vcpus: 2, memory: 4GiB, cells: none, {_ON.format(2, 0, 1)}}}
  - {{name: web-2, vcpus: 2, memory: 4GiB, cells: none, {_ON.format(3, 0, 0)}}}
  - {{name: ci-1, vcpus: 2, memory: 4GiB, cells: none, {_ON.format(4, 1, 1)}}}
"""
LAST_WEEK = MONDAY.replace(_ON.format(3, 0, 0), _ON.format(1, 1, 1)).replace("ci-1", "ci-0")
GIVEN: dict[str, dict[str, str]] = {
    "how-to/monday.md": {"fleet.yaml": MONDAY, "last-week.yaml": LAST_WEEK},
    "how-to/moves.md": {"fleet.yaml": LIVE},
    **{
        f"how-to/{form}.md": {"fleet.yaml": MANAGED}
        for form in ("kubevirt", "ovirt", "opennebula", "incus", "terraform")
    },
    "how-to/report.md": {"fleet.yaml": LIVE},
    "how-to/maintenance.md": {"fleet.yaml": LIVE},
    "how-to/what-if.md": {"fleet.yaml": RACKS},
    "how-to/live-fleet.md": {
        "map.yaml": MAP,
        "hosts.csv": "host,cpus,gib\nkvm-1,8,16\nkvm-2,8,16\n",
        "vms.csv": "vm,cpus,gib,host\ndb,2,4,kvm-1\nweb,2,4,kvm-2\n",
    },
}
"""Page -> files that it takes for granted."""

ELSEWHERE = {
    "how-to/apply.md": "tests/libvirt/test_apply_page.py",  # in one process: libvirt's mock driver does not outlive it
    "how-to/cluster.md": "tests/cli/test_cluster_page.py",  # with a scheduler on this machine
}
"""Page -> the test that runs its blocks."""

STANDINS = {
    "numactl": 'cat "$DATA/hosts/two-node-40cpu.numactl.txt"',
    "ssh": 'shift; exec "$@"',
    "virsh": """case " $* " in
*" capabilities "*) cat "$DATA/hosts/epyc-nps4.capabilities.xml" ;;
*" list "*) echo five-sockets ;;
*" dumpxml "*) cat "$DATA/domains/five-sockets.xml" ;;
*" domstate "*) echo 'shut off' ;;
esac""",
    "openstack": f"""case $1 in
flavor) echo '{FLAVORS}' ;;
server) echo '{SERVERS}' ;;
hypervisor) echo '{HYPERVISORS}' ;;
*) exit 9 ;;
esac""",
    "pvesh": f"""case $2 in
/cluster/resources) echo '{RESOURCES}' ;;
*/config) echo '{CONFIG}' ;;
*) exit 9 ;;
esac""",
}
"""Commands that the pages use and a test machine has not: they print what the real ones print."""


def script(name: str) -> Any:
    """Return a script of the repository as a module."""
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def identity(page: Path) -> str:
    """Return a page's name in a test's id."""
    return str(page.relative_to(REPOSITORY / "docs"))


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return an environment with the stand-ins and this Python's placer first on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, body in STANDINS.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    path = os.pathsep.join((str(folder), str(Path(sys.executable).parent), os.environ["PATH"]))
    return {**os.environ, "PATH": path, "DATA": str(REPOSITORY / "data"), "COLUMNS": "100"}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if _BLOCK.search(page.read_text()) and identity(page) not in ELSEWHERE],
    ids=identity,
)
def test_blocks_run(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """The command blocks of a page run in their order, in one empty folder, and none fails."""
    work = tmp_path / "work"
    work.mkdir()
    for name, text in GIVEN.get(identity(page), {}).items():
        (work / name).write_text(text)
    printed = ""
    for number, block in enumerate(_BLOCK.findall(page.read_text()), start=1):
        run = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=work,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1800,
            check=False,
        )
        printed += run.stdout
        assert run.returncode == 0, f"{page.name}, block {number}:\n{block}\n{run.stdout}\n{run.stderr}"
    for shown in _ANSWER.findall(page.read_text()):
        assert shown in printed, f"{page.name} shows what is not printed:\n{shown}\n{printed}"


@pytest.mark.parametrize("page", PAGES, ids=identity)
def test_fences_and_links(page: Path) -> None:
    """Every fence says its language, so that no command hides from the test above; every link leads to a file."""
    text = page.read_text()
    if page.name != "design.md":  # its formulas and pictures are no commands
        openings = _FENCE.findall(text)[::2]
        assert set(openings) <= {"sh", "text", "yaml", "json", "toml", "xml", "python"}, openings
        assert not _INDENTED.findall(_FENCED.sub("", text)), "a block without a fence is not run"
    assert not [link for link in _LINK.findall(text) if not (page.parent / link).exists()]


def test_readme_runs(tmp_path: Path, environment: dict[str, str]) -> None:
    """The README's quick start runs on captured files, and its Python prints that the plan holds."""
    text = (REPOSITORY / "README.md").read_text()
    (block,) = [block for block in _BLOCK.findall(text) if "placer solve" in block]
    (python,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    data = REPOSITORY / "data"
    for source, target in (
        ("hosts/epyc-nps4.capabilities.xml", "capabilities.xml"),
        ("hosts/epyc-nps4.capabilities.xml", "caps/kvm-a.xml"),
        ("domains/five-sockets.xml", "domains/kvm-a/web.xml"),
    ):
        (tmp_path / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(data / source, tmp_path / target)
    script = "\n".join(line for line in block.splitlines() if "activate" not in line)
    for command in (["bash", "-euo", "pipefail", "-c", script], [sys.executable, "-c", python]):
        run = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr
    assert (tmp_path / "out/kvm-a").is_dir()


def test_pages_do_what_they_say() -> None:
    """The pages that people start from do have commands: a broken pattern would run nothing and pass."""
    assert all(page in (REPOSITORY / test).read_text() for page, test in ELSEWHERE.items())
    for name in ("tutorial.md", "how-to/libvirt.md", "how-to/openstack.md", "how-to/proxmox.md"):
        blocks = _BLOCK.findall((REPOSITORY / "docs" / name).read_text())
        assert len(blocks) >= 2 and any("placer solve" in block for block in blocks), name


def test_reference_is_what_the_code_says() -> None:
    """docs/reference/cli.md is what scripts/cli_reference.py makes of the code now."""
    written = (REPOSITORY / "docs/reference/cli.md").read_text()
    assert written == script("cli_reference").reference(), "run: python scripts/cli_reference.py"


def test_benchmark_tables_are_copied() -> None:
    """The engines' page shows tables of benchmarks that there are, and the script copies them as they are."""
    module = script("benchmark_tables")
    copied = module.page(module.PAGE.read_text(), module.SOURCE.read_text())
    heading = re.compile(r"^### ([\w-]+)", re.MULTILINE)
    named = heading.findall(copied)
    assert len(named) >= 5 and copied.count("\n|") > 30
    shown = heading.findall(module.PAGE.read_text())
    assert len(shown) >= 5 and set(shown) <= set(named), "run: python scripts/benchmark_tables.py"
    assert module.page(copied, module.SOURCE.read_text()) == copied


def test_every_verb_has_help_and_stands_in_the_reference() -> None:
    """Every verb and every option has a line of help, and every verb its heading."""
    text = (REPOSITORY / "docs/reference/cli.md").read_text()
    root = root_command(None, Terminal(verb=""))
    assert list(root.commands) == [verb.name for verb in VERBS]
    bare = []
    for name, command in root.commands.items():
        below = command.commands.items() if isinstance(command, TyperGroup) else ()
        for names, one in ((name, command), *((f"{name} {sub}", inner) for sub, inner in below)):
            assert f"# placer {names}\n" in text
            assert one.help, names
            bare += [f"{names}: {parameter.name}" for parameter in one.params if not getattr(parameter, "help", "set")]
    assert not bare


def test_exit_codes_are_those_of_the_errors() -> None:
    """Every exit code that an error carries stands in the table."""
    from placer import errors

    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.PlacerError)]
    table = (REPOSITORY / "docs/reference/exit-codes.md").read_text()
    listed = set(map(int, re.findall(r"^\| (\d+) \|", table, re.MULTILINE)))
    assert {one.exit_code for one in classes} | {0, 130} == listed


def test_every_lint_rule_is_described() -> None:
    """The table of lint rules is that of the code, in its order."""
    from placer.lint.lint import RULE_NAMES

    table = (REPOSITORY / "docs/reference/lint.md").read_text()
    assert tuple(re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)) == RULE_NAMES


def test_the_man_page_is_what_the_code_says() -> None:
    """docs/reference/placer.1 is what scripts/cli_reference.py makes of the code; no text is taken for a macro."""
    page = script("cli_reference").man_page()
    assert (REPOSITORY / "docs/reference/placer.1").read_text() == page, "run: python scripts/cli_reference.py"
    macros = {line.split()[0] for line in page.splitlines() if line[:1] in (".", "'")}
    assert macros == {".TH", ".SH", ".TP", ".B", ".nf", ".fi"}
