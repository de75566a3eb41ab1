"""Evidence from inside the lab, gathered over ssh by code that shares nothing with placer."""

from __future__ import annotations

from dataclasses import dataclass

from tests.lab.machine.lab import Lab

_LOOK = """
pid=$(cat /run/libvirt/qemu/{name}.pid) || exit 1
for task in /proc/$pid/task/*; do
    echo "T $(cat $task/comm)|$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' $task/status)"
done
sed 's/^/M /' /proc/$pid/numa_maps
"""


@dataclass(frozen=True, slots=True)
class Mapping:
    """A line of numa_maps: its policy and its KiB on each node."""

    policy: str
    nodes: dict[int, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Threads (name, CPUs) and mappings of one QEMU."""

    threads: list[tuple[str, set[int]]]
    mappings: list[Mapping]

    def vcpus(self) -> dict[int, set[int]]:
        """CPUs of each vCPU thread."""
        return {int(name[4:].split("/")[0]): cpus for name, cpus in self.threads if name.startswith("CPU ")}

    def iothreads(self) -> dict[int, set[int]]:
        """CPUs of each IOThread."""
        return {int(name[11:]): cpus for name, cpus in self.threads if name.startswith("IO iothread")}

    def main_thread(self) -> set[int]:
        """CPUs of QEMU's first thread."""
        return self.threads[0][1]

    def bound(self) -> list[Mapping]:
        """Mappings with a policy of their own: guest memory under numatune."""
        return sorted(
            (mapping for mapping in self.mappings if mapping.policy != "default" and mapping.nodes),
            key=lambda mapping: mapping.policy,
        )

    def kib_on_nodes(self, least_kib: int) -> dict[int, int]:
        """KiB by node of all mappings that hold at least so much in all."""
        total: dict[int, int] = {}
        for mapping in self.mappings:
            if sum(mapping.nodes.values()) >= least_kib:
                for node, kib in mapping.nodes.items():
                    total[node] = total.get(node, 0) + kib
        return total


def look_at(lab: Lab, name: str) -> Evidence:
    """Return what the lab's kernel says of a running domain; its name must need no quoting."""
    threads: list[tuple[str, set[int]]] = []
    mappings: list[Mapping] = []
    for line in lab.shell(_LOOK.format(name=name)).splitlines():
        if line.startswith("T "):
            thread, _, cpus = line[2:].rpartition("|")
            threads.append((thread, _expand(cpus)))
        elif line.startswith("M "):
            words = line.split()[2:]
            page = next((int(word.split("=")[1]) for word in words if word.startswith("kernelpagesize_kB=")), 4)
            nodes = {
                int(word[1:].split("=")[0]): int(word.split("=")[1]) * page
                for word in words
                if word[0] == "N" and word[1].isdigit()
            }
            mappings.append(Mapping(words[0], nodes))
    return Evidence(threads, mappings)


def _expand(cpus: str) -> set[int]:
    found: set[int] = set()
    for part in cpus.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
