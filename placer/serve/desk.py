"""What the page shows: the fleet and the plan of the files, or what a solve with edits made of them."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from placer.emit.report.columns import columns_text
from placer.emit.report.course import Point
from placer.emit.report.now import fleet_page
from placer.emit.report.opened import opened_host
from placer.emit.report.page import Page, Since, plan_page
from placer.errors import InputError
from placer.explain.explain import explain_vm
from placer.explain.states import State
from placer.measure.before import plan_before
from placer.model.fleet import Fleet
from placer.model.plan import Plan
from placer.model.units import count
from placer.read.collector import without_collector
from placer.show.alternative_words import because, nodes_words
from placer.show.words import CHANGE_WORDS, figure, percent, visible


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A fleet and its plan, ready to be looked at.

    `changes` are the edits that led from the files to it, in words; `earlier` is last week's state, to be told beside
    it; `course` is how the search of the plan went on, goal by goal, where it was made here.
    """

    fleet: Fleet
    plan: Plan | None
    changes: tuple[str, ...] = ()
    earlier: State | None = None
    course: Mapping[str, Sequence[Point]] = field(default_factory=dict)

    @cached_property
    def page(self) -> Page:
        """The tables of the page and the map."""
        with without_collector():
            since = None if self.earlier is None else Since.of(self.earlier, self.fleet, self.plan)
            if self.plan is None:
                return fleet_page(self.fleet, since=since)
            return plan_page(self.fleet, self.plan, since=since, course=self.course)

    @cached_property
    def columns(self) -> str:
        """The map as the page reads it."""
        return columns_text(self.page.map)

    @cached_property
    def vm_numbers(self) -> Mapping[str, int]:
        """Name of a VM -> its place in the fleet."""
        return {vm.name: number for number, vm in enumerate(self.fleet.vms)}

    @cached_property
    def host_numbers(self) -> Mapping[str, int]:
        """Name of a host -> its place in the fleet."""
        return {host.name: number for number, host in enumerate(self.fleet.hosts)}

    @cached_property
    def names(self) -> str:
        """What the page searches: JSON of all VM names and, by number, the host of each VM, as planned, else now.

        -1 stands for no host. The page has the names and labels of hosts in its map.
        """
        planned = {} if self.plan is None else self.plan.vm_by_name
        at = []
        for vm in self.fleet.vms:
            now = None if vm.current is None else vm.current.host
            host = planned[vm.name].host if vm.name in planned else now
            at.append(self.host_numbers.get(host or "", -1))
        return json.dumps({"vms": [visible(vm.name) for vm in self.fleet.vms], "at": at}, separators=(",", ":"))

    def host(self, number: int) -> dict[str, Any]:
        """Return a host opened.

        Raises
        ------
        InputError
            There is no host of that number.
        """
        if not 0 <= number < len(self.fleet.hosts):
            raise InputError(f"there is no host {number}", field="at")
        return opened_host(self.fleet, self.plan, self.fleet.hosts[number], self.vm_numbers)

    def vm(self, number: int) -> dict[str, Any]:
        """Return a VM with the verdict on every other place it could be at.

        Raises
        ------
        InputError
            There is no VM of that number; or there is no plan, and where all VMs are now is not known.
        """
        if not 0 <= number < len(self.fleet.vms):
            raise InputError(f"there is no VM {number}", field="at")
        plan = self.plan or plan_before(self.fleet)
        if plan is None:
            raise InputError(
                "where all VMs are now is not known", field="at", cure="solve, then other places are judged"
            )
        vm = self.fleet.vms[number]
        found = explain_vm(self.fleet, plan, vm.name)
        spec = vm.spec
        return {
            "name": visible(vm.name),
            "number": number,
            "size": f"{count(spec.vcpus, 'vCPU')} × {figure(spec.memory_kib / 2**20)} GiB",
            "host": None if found.host is None else visible(found.host),
            "at": self.host_numbers.get(found.host or "", -1),
            "nodes": nodes_words(found.cpu_nodes, found.memory_nodes) if found.host else "",
            "reason": visible(found.reason or ""),
            "change": "" if self.plan is None else _change(self.plan, vm.name),
            "moved_by": None if found.moved_by is None else visible(found.moved_by),
            "remote_access": figure(found.remote_access),
            "remote_share": percent(found.remote_share),
            "left_out": found.alternatives.hosts_left_out,
            "places": [
                {
                    "hosts": [self.host_numbers[host] for host in place.hosts],
                    "nodes": nodes_words(place.cpu_nodes, place.memory_nodes) if place.cpu_nodes else "any node",
                    "verdict": place.verdict.value,
                    "because": visible(because(place)),
                    "planned": place.planned,
                    "now": place.now,
                }
                for place in found.alternatives.places
            ],
        }


def _change(plan: Plan, name: str) -> str:
    planned = plan.vm_by_name.get(name)
    return "" if planned is None else CHANGE_WORDS[planned.change]


@dataclass(slots=True)
class Desk:
    """What the page shows now. Nothing but the files is kept: a server that is started anew shows them again."""

    files: Shown
    _now: Shown | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def shown(self) -> Shown:
        """What is shown: the files, or the last solve."""
        with self._lock:
            return self._now or self.files

    def show(self, solved: Shown | None) -> None:
        """Show the outcome of a solve; None: the files again."""
        with self._lock:
            self._now = solved
