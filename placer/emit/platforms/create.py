"""Lines that make new VMs where they fit, in the words of a platform: what `placer fit --to` prints.

Sources: qm(1), Proxmox VE 8; python-openstackclient, ``server create`` and ``flavor create``. Nova takes a host for a
new server from version 2.74 of its API on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from placer.emit.platforms.openstack import extra_specs
from placer.emit.platforms.proxmox import proxmox_cells
from placer.emit.script import comment, quote
from placer.model.cpuset import format_cpuset
from placer.model.plan import PlanVm
from placer.model.vm import Vm

Placed = Sequence[tuple[PlanVm, Vm]]


def create_lines(placed: Placed, to: str) -> list[str]:
    """Return shell lines, a comment before each that says what is to be filled in.

    Parameters
    ----------
    placed : VMs with a place, and what each needs.
    to : one of `CREATORS`.
    """
    return list(CREATORS[to](placed))


def _plain(name: str) -> str:
    """Return a name as both platforms and a guest's host name take it."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "vm"


def _mib(kib: int) -> str:
    return str(-(-kib // 1024))


def _proxmox(placed: Placed) -> Iterator[str]:
    for vm, known in placed:
        spec = known.spec
        words = ["--name", _plain(vm.name), "--sockets", "1", "--cores", str(spec.vcpus)]
        words += ["--memory", _mib(spec.memory_kib)]
        bound = any(cell.nodes for cell in vm.cells)
        if bound:
            cpus = frozenset().union(*vm.pins.values(), vm.emulator or (), *vm.iothreads.values())
            words += ["--affinity", format_cpuset(cpus)]
        if bound or vm.shown:
            words += ["--numa", "1"]
            for number, cell in enumerate(proxmox_cells(vm.cells)):
                words += [f"--numa{number}", ",".join(f"{key}={value}" for key, value in cell.items())]
        if spec.page_kib in (2048, 1 << 20):
            words += ["--hugepages", str(spec.page_kib // 1024)]
        yield comment(f"on node {vm.host}, as root; add its disks, network and boot order")
        yield f'qm create "$(pvesh get /cluster/nextid)" {" ".join(map(quote, words))}'


def _openstack(placed: Placed) -> Iterator[str]:
    flavors: dict[str, None] = {}
    for vm, known in placed:
        spec = known.spec
        flavor = spec.labels.get("flavor")
        if flavor is None:
            flavor = _plain(re.sub(r" \d+'*$", "", vm.name))
            words = ["--vcpus", str(spec.vcpus), "--ram", _mib(spec.memory_kib), "--disk", "0"]
            words += [word for one in extra_specs(vm, known) for word in ("--property", one)]
            line = f"openstack flavor create {' '.join(map(quote, words))} {quote(flavor)}"
            if line not in flavors:
                flavors[line] = None
                yield comment("once, unless there is such a flavor; give it the disk that its images need")
                yield line
        yield comment("fill in IMAGE, and add --network; a host for it takes an administrator")
        words = ["--flavor", flavor, "--host", vm.host, "--image", "IMAGE", "--wait", _plain(vm.name)]
        yield f"openstack --os-compute-api-version 2.74 server create {' '.join(map(quote, words))}"


CREATORS: dict[str, Callable[[Placed], Iterator[str]]] = {"proxmox": _proxmox, "openstack": _openstack}
"""The platforms that have a line for a new VM with its place."""
