"""What the shell scripts have in common: quoting that survives any name, and running only what belongs to a host."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace

from placer.emit.writer import safe_file_name
from placer.model.fleet import Fleet
from placer.model.host import Host
from placer.model.plan import Plan, PlanVm

quote = shlex.quote
"""Quote one word for a shell: single quotes keep line ends, ``$()`` and everything else as they are."""

SELECT_HOSTS = """\
only=("$@")
pinned=0 skipped=0 failed=0
say() { printf '%s\\n' "$*" >&2; }
fail() { failed=$((failed + 1)); say "$label: $*"; }
skip() { skipped=$((skipped + 1)); say "$label: $*"; }
selected() {  # the host was named on the command line, or none was
  [ ${#only[@]} -eq 0 ] && return 0
  named "$1"
}
named() {
  local name
  for name in ${only[@]+"${only[@]}"}; do [ "$name" = "$1" ] && return 0; done
  return 1
}
for name in ${only[@]+"${only[@]}"}; do
  known=0
  for host in "${hosts[@]}"; do [ "$name" = "$host" ] && known=1; done
  [ $known -eq 1 ] || { say "this plan has no host $(printf %q "$name")"; exit 2; }
done
"""
"""Bash that expects the array ``hosts`` and reads the hosts wanted from the arguments."""

SUMMARY = """\
say "$pinned pinned, $skipped skipped, $failed failed"
[ $failed -eq 0 ] || exit 8
"""

Section = Callable[[Host, list[PlanVm]], Iterable[str]]


def comment(text: str) -> str:
    """Return a comment of one line, whatever the text holds."""
    return "# " + "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def label(vm: PlanVm) -> str:
    """Return the VM's name as one printable line, for messages."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in vm.name)


def by_host(plan: Plan) -> dict[str, list[PlanVm]]:
    """Return the placed VMs of each host, hosts by name."""
    groups: dict[str, list[PlanVm]] = {}
    for vm in plan.vms:
        groups.setdefault(vm.host, []).append(vm)
    return dict(sorted(groups.items()))


def script(plan: Plan, fleet: Fleet, title: str, helpers: str, section: Section) -> bytes:
    """Return a bash script with one section a host that holds a VM.

    Parameters
    ----------
    title
        What the script does, for its first lines.
    helpers
        Bash functions that the sections call.
    section
        Makes the lines of one host.
    """
    groups = by_host(plan)
    lines = [
        "#!/usr/bin/env bash",
        f"# {title}",
        "# Usage: bash SCRIPT [HOST...]   without a host: all of them. Exit code 8: some failed.",
        "set -u",
        "export LC_ALL=C",
        f"hosts=({' '.join(quote(name) for name in groups)})",
        SELECT_HOSTS + helpers,
    ]
    for name, vms in groups.items():
        lines.append(comment(f"host {name}"))
        lines.append(f"if host {quote(name)} {quote(fleet.host_by_name[name].uri or '')}; then")
        lines.extend(list(section(fleet.host_by_name[name], vms)) or ["  : # all of its VMs stay as they are"])
        lines.append("fi\n")
    lines.append(SUMMARY)
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def script_files(plan: Plan, make: Callable[[Plan], bytes]) -> dict[str, bytes]:
    """Return one script a host, by file name: `make` is given the plan of that host alone."""
    return {f"{safe_file_name(name)}.sh": make(replace(plan, vms=tuple(vms))) for name, vms in by_host(plan).items()}
