"""A small Linux that boots with the QEMU line of a plan, and says what it sees of cells, cores and devices."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TIMEOUT_S = 200.0
_MARK = "placer-guest "
_APPEND = "console=ttyS0 rdinit=/init quiet panic=-1 no_timer_check mitigations=off"
_INIT = f"""#!/bin/busybox sh
b=/bin/busybox
$b mount -t sysfs s /sys
cd /sys/devices/system
for node in node/node[0-9]*; do
  for file in cpulist distance; do echo "{_MARK}$node/$file $($b cat $node/$file)"; done
  echo "{_MARK}$node/kib $($b sed -n 's/.*MemTotal: *//p' $node/meminfo)"
done
for cpu in cpu/cpu[0-9]*; do
  for file in physical_package_id thread_siblings_list; do
    echo "{_MARK}$cpu/$file $($b cat $cpu/topology/$file)"
  done
done
for device in /sys/bus/pci/devices/*; do
  echo "{_MARK}pci/$($b cat $device/vendor):$($b cat $device/device) $($b cat $device/numa_node)"
done
echo "{_MARK}end 0"
$b poweroff -f
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the guest says, file by file."""

    files: dict[str, str]

    def cells(self) -> list[str]:
        """Return the CPUs of each node as the kernel lists them."""
        return [self.files[f"node/node{node}/cpulist"] for node in range(self._nodes)]

    def distances(self) -> list[list[int]]:
        """Return the distances between nodes."""
        return [[int(text) for text in self.files[f"node/node{n}/distance"].split()] for n in range(self._nodes)]

    def memory_mib(self) -> list[int]:
        """Return what each node has, without what the kernel keeps for itself."""
        return [int(self.files[f"node/node{node}/kib"].split()[0]) // 1024 for node in range(self._nodes)]

    def siblings(self) -> dict[int, str]:
        """Return CPU -> the CPUs of its core."""
        return {cpu: self.files[f"cpu/cpu{cpu}/thread_siblings_list"] for cpu in range(self._cpus)}

    def packages(self) -> dict[int, int]:
        """Return CPU -> its socket."""
        return {cpu: int(self.files[f"cpu/cpu{cpu}/physical_package_id"]) for cpu in range(self._cpus)}

    def node_of(self, device: str) -> int:
        """Return the node of a PCI device, by vendor and device."""
        return int(self.files[f"pci/{device}"])

    @property
    def _nodes(self) -> int:
        return sum(1 for name in self.files if name.endswith("/cpulist"))

    @property
    def _cpus(self) -> int:
        return sum(1 for name in self.files if name.endswith("/physical_package_id"))


def boot(kernel: Path, folder: Path, arguments: Sequence[str], more: Sequence[str] = ()) -> Seen:
    """Boot the kernel with these arguments of QEMU and return what it says; the policies of host nodes are left out,
    for a machine that is emulated has them only in the lab's own.
    """
    line = [re.sub(r",host-nodes=[^,]*|,policy=[a-z]*", "", text) for text in arguments]
    command = [
        "qemu-system-x86_64", "-accel", "tcg,thread=single", "-cpu", "Nehalem", "-machine", "q35", *line, *more,
        "-kernel", str(kernel), "-initrd", str(_initrd(folder)), "-append", _APPEND,
        "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    found = {}
    for text in done.stdout.splitlines():
        _, mark, said = text.strip().partition(_MARK)
        if mark:
            name, _, value = said.partition(" ")
            found[name] = value
    if "end" not in found:
        raise RuntimeError(f"the guest ended early: {done.stderr[-500:]!r} {done.stdout[-500:]!r}")
    return Seen(found)


def _initrd(folder: Path) -> Path:
    """Make the guest's only files: busybox and what it runs."""
    root = folder / "initrd"
    for name in ("bin", "sys", "dev", "proc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        raise RuntimeError("busybox is not installed: make lab")
    shutil.copy(busybox, root / "bin" / "busybox")
    (root / "init").write_text(_INIT)
    (root / "init").chmod(0o755)
    names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
    packed = subprocess.run(
        ["cpio", "--quiet", "-o", "-H", "newc"], cwd=root, input=names.encode(), capture_output=True, check=True
    ).stdout
    out = folder / "initrd.cpio"
    out.write_bytes(packed)
    os.chmod(out, 0o600)
    return out
