"""What a check found: faults that refuse, warnings that inform, and what was measured on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from placer.errors import Fault
from placer.model.plan import PlanVm


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """The outcome of a check. `measured` holds plain numbers by name; what could not be computed is None."""

    faults: tuple[Fault, ...]
    warnings: tuple[str, ...]
    measured: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong; warnings do not count."""
        return not self.faults


@dataclass(slots=True)
class Findings:
    """Collects faults and warnings while a check runs."""

    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many faults and warnings there are."""
        return len(self.faults) + len(self.warnings)

    def fault(self, message: str, *, where: str, cure: str | None = None, host: str | None = None) -> None:
        """Note a fault of the plan or fleet at the field `where`, on a host if it is on one."""
        self.faults.append(Fault(message=message, field=where, cure=cure, host=host))

    def vm(self, vm: PlanVm, message: str, *, where: str) -> None:
        """Note a fault of a placed VM at its field `where`."""
        self.fault(f"VM {vm.name!r} on host {vm.host!r}: {message}", where=f"vms.{where}", host=vm.host)

    def warn(self, message: str) -> None:
        """Note something that a person should know and that refuses nothing."""
        self.warnings.append(message)


def some(names: list[str], most: int = 3) -> str:
    """Return the first few names, quoted, and how many more there are."""
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
