"""Domains for the lab: firmware only, so that one starts in seconds; memory is touched at start where it can be."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LabDomain:
    """What a domain of the lab has. `cells` are (vCPUs, MiB) of the guest's cells; empty: a flat guest."""

    name: str
    number: int
    vcpus: int = 1
    memory_mib: int = 64
    cells: tuple[tuple[str, int], ...] = ()
    huge: bool = False
    iothreads: int = 0
    touched: bool = True
    metadata: str = ""
    tuning: str = ""
    devices: str = ""

    @property
    def uuid(self) -> str:
        """The domain's UUID, told from its number."""
        return f"5d000000-0000-4000-8000-{self.number:012d}"

    def xml(self) -> str:
        """Return the domain's XML."""
        cells = "".join(
            f"<cell id='{number}' cpus='{cpus}' memory='{mib}' unit='MiB'/>"
            for number, (cpus, mib) in enumerate(self.cells)
        )
        memory = sum(mib for _, mib in self.cells) or self.memory_mib
        model = "<model fallback='allow'>qemu64</model>"
        cpu = f"<cpu mode='custom' match='exact' check='none'>{model}<numa>{cells}</numa></cpu>"
        huge = "<hugepages><page size='2048' unit='KiB'/></hugepages>" if self.huge else ""
        touched = "<allocation mode='immediate'/>" if self.touched else ""
        return f"""<domain type='qemu'>
  <name>{self.name}</name>
  <uuid>{self.uuid}</uuid>
  {f"<metadata>{self.metadata}</metadata>" if self.metadata else ""}
  <memory unit='MiB'>{memory}</memory>
  {f"<memoryBacking>{huge}{touched}</memoryBacking>" if huge or touched else ""}
  <vcpu>{self.vcpus}</vcpu>
  {f"<iothreads>{self.iothreads}</iothreads>" if self.iothreads else ""}
  {self.tuning}
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  {cpu if cells else ""}
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {self.devices}
    <memballoon model='none'/>
  </devices>
</domain>"""
