"""The QEMU command line of the lab: four NUMA nodes of two cores with two threads, and one of memory alone."""

from __future__ import annotations

from pathlib import Path

NODES = {0: range(4), 1: range(4, 8), 2: range(8, 12), 3: range(12, 16), 4: range(0)}
"""CPUs of each node of the lab."""
MEMORY_MIB = {0: 1536, 1: 1536, 2: 1536, 3: 1536, 4: 1024}
DISTANCES = {
    (0, 1): 12, (0, 2): 20, (0, 3): 22, (0, 4): 14, (1, 2): 22,
    (1, 3): 20, (1, 4): 24, (2, 3): 12, (2, 4): 28, (3, 4): 28,
}  # fmt: skip
_APPEND = "console=ttyS0 panic=-1 root=/dev/vda mitigations=off transparent_hugepage=never numa_balancing=disable"


def qemu_command(
    image: Path, run: Path, *, disk: Path, snapshot: bool, libvirt_port: int, ssh_port: int, incoming: Path | None
) -> list[str]:
    """Return the command that boots the lab, or restores it from the state saved in `incoming`.

    Parameters
    ----------
    image
        The folder with kernel, initrd and disk.
    run
        A folder for the sockets and the console of this run.
    snapshot
        Throw away what is written to the disk.
    """
    command = [
        "qemu-system-x86_64", "-name", "numalab", "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35,hmat=on", "-accel", "tcg,thread=multi,tb-size=256",
        # SMT under TCG wants an Intel CPU: QEMU has no topoext for an AMD one.
        "-cpu", "max,vendor=GenuineIntel", "-smp", "16,sockets=4,dies=1,cores=2,threads=2",
        "-m", f"{sum(MEMORY_MIB.values())}M",
    ]  # fmt: skip
    for node, cpus in NODES.items():
        command += ["-object", f"memory-backend-ram,id=m{node},size={MEMORY_MIB[node]}M"]
        held = f"cpus={cpus[0]}-{cpus[-1]},initiator={node}" if cpus else "initiator=0"
        command += ["-numa", f"node,nodeid={node},memdev=m{node},{held}"]
    for (source, target), value in DISTANCES.items():
        command += ["-numa", f"dist,src={source},dst={target},val={value}"]
    for source in range(4):
        for target in NODES:
            latency, bandwidth = _hmat(source, target)
            lookup = f"hmat-lb,initiator={source},target={target},hierarchy=memory"
            command += ["-numa", f"{lookup},data-type=access-latency,latency={latency}"]
            command += ["-numa", f"{lookup},data-type=access-bandwidth,bandwidth={bandwidth}G"]
    if incoming is not None:
        command += ["-incoming", f"exec:zstd -q -dc {incoming}"]
    command += [
        "-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.gz"), "-append", _APPEND,
        "-drive", f"file={disk},if=virtio,format=qcow2,snapshot={'on' if snapshot else 'off'}",
        # restrict=on: the lab reaches no network; the two forwarded ports are on the loopback alone.
        "-netdev", "user,id=n0,restrict=on,"
        f"hostfwd=tcp:127.0.0.1:{libvirt_port}-:16509,hostfwd=tcp:127.0.0.1:{ssh_port}-:22",
        "-device", "virtio-net-pci,netdev=n0,romfile=",
        "-serial", f"file:{run / 'console.log'}", "-qmp", f"unix:{run / 'qmp.sock'},server,nowait",
    ]  # fmt: skip
    return command


def _hmat(source: int, target: int) -> tuple[int, int]:
    """Return latency (ns) and bandwidth (GiB/s) of a node's memory seen from a node."""
    if source == target:
        return 90, 20
    if target == 4:
        return 250, 8
    return (120, 16) if source // 2 == target // 2 else (200, 10)
