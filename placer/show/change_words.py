"""What a plan changes, in sentences and rows: the same on every screen and in every document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from placer.measure.memory_mode import UNBOUND
from placer.model.cpuset import format_cpuset
from placer.model.plan import Change
from placer.model.units import count
from placer.moves.changes import Changes, VmChange
from placer.moves.model import Schedule, Step
from placer.moves.need import Need
from placer.show.words import figure, listed, visible

_NAMED = 3
CHANGE_COLUMNS = ("VM", "host", "CPUs", "memory", "GiB#", "gain#", "needs")
"""Columns of `change_row`: host, nodes of CPUs and of memory before and after, what is copied, remote access saved."""


def change_sentences(changes: Changes) -> Iterator[str]:
    """Yield what a plan changes: what moves memory first, then who is shut off, what only gets other CPUs."""
    if not changes.vms and (changes.follow or changes.memory_modes):
        yield f"No VM moves: {count(changes.stay, 'VM')} {'stays' if changes.stay == 1 else 'stay'} as they are."
        if changes.follow:
            yield follow_sentence(changes)
        yield from mode_sentences(changes)
        return
    if not changes.vms:
        yield f"Nothing changes: {count(changes.stay, 'VM')} {'stays' if changes.stay == 1 else 'stay'} in place."
        return
    if changes.stay or changes.follow or len(changes.starting) < len(changes.vms):
        yield from _changes_of_present(changes)
    if changes.follow:
        yield follow_sentence(changes)
    if changes.starting:
        yield f"{count(len(changes.starting), 'VM')} {'starts' if len(changes.starting) == 1 else 'start'} anew."
    yield from mode_sentences(changes)


def _changes_of_present(changes: Changes) -> Iterator[str]:
    # Memory of a VM that is shut off, or comes up again elsewhere for its host has failed, is copied nowhere.
    cold = [vm for vm in changes.moving if vm.need in (Need.RESTART, Need.DEFINE)]
    if moving := [vm for vm in changes.moving if vm not in cold]:
        away = sum(1 for vm in moving if vm.source is not None and vm.source.host != vm.target.host)
        ends = [(away, "to another host"), (len(moving) - away, "to another node")]
        where = " and ".join(f"{many:,} {words}" for many, words in ends if many)
        size = f"{figure(changes.memory_gib, 1)} GiB in all"
        if disks := sum(vm.disk_gib for vm in moving):
            size += f" and {figure(disks, 1)} GiB of disks"
        yield f"{count(len(moving), 'VM')} {_move(moving)} memory, {size}: {where}."
    else:
        yield "No memory moves."
    for need, way in ((Need.RESTART, "by a restart"), (Need.DEFINE, "shut off")):
        if those := [vm for vm in cold if vm.need is need]:
            disks = sum(vm.disk_gib for vm in those)
            with_ = f", with {figure(disks, 1)} GiB of disks" if disks else ""
            comes = "comes" if len(those) == 1 else "come"
            yield f"{count(len(those), 'VM')} {comes} to another host or node {way}{with_}."
    if changes.gain:
        way = "less" if changes.gain > 0 else "more"
        yield f"Remote access: {figure(abs(changes.gain))} {way} for the VMs whose nodes are known now."
    yield downtime_sentence(changes)
    if pinned := changes.pinned:
        hosts = Counter(vm.target.host for vm in pinned)
        get = "gets" if len(pinned) == 1 else "get"
        across = sum(vm.change is not Change.REPIN for vm in pinned)
        unknown = sum(vm.pins_unknown for vm in pinned)
        told = [f"{across:,} of another node"] if across else []
        told += [f"{unknown:,} whose pins are not all known now"] if unknown else []
        # What they save is a part of what is said above: nothing is copied for it.
        if (gain := sum(vm.gain or 0.0 for vm in pinned)) and changes.moving:
            told += [f"{figure(abs(gain))} of the remote access {'less' if gain > 0 else 'more'}"]
        more = f": {', '.join(told)}" if told else ""
        yield f"{count(len(pinned), 'VM')} only {get} other CPUs, on {count(len(hosts), 'host')}{more}."
    if bound := sum(1 for vm in changes.vms if vm.bound_at_start):
        yield f"The memory of {count(bound, 'VM')} is bound to nodes at the next start; till then it stays where it is."


def follow_sentence(changes: Changes) -> str:
    """Return of how many VMs the cpusets leave CPUs that others are given."""
    if changes.follow == 1:
        return "The cpuset of 1 VM follows: CPUs that others are given leave it."
    return f"The cpusets of {count(changes.follow, 'VM')} follow: CPUs that others are given leave them."


def mode_sentences(changes: Changes) -> Iterator[str]:
    """Yield whose memory is bound in which other mode, from the next start of each on."""
    vms: dict[tuple[str, str], list[str]] = {}
    for name, modes in changes.memory_modes.items():
        vms.setdefault(modes, []).append(visible(name))
    for (old, new), names in sorted(vms.items()):
        of = f"{count(len(names), 'VM')} ({listed(names, _NAMED)})"
        if new == UNBOUND:
            yield f"The memory of {of} is bound to nodes now ({old}), and to none where it comes."
        else:
            yield f"The memory of {of} is bound in mode {new}, not {old}, from the next start on."
    yield from cpuset_sentences(changes.lost_cpusets)


def cpuset_sentences(lost: Mapping[str, frozenset[int]]) -> Iterator[str]:
    """Yield which VMs are confined to some CPUs now and float over all of the host that they come to."""
    if lost:
        one = len(lost) == 1
        names = [f"{visible(name)} to {format_cpuset(cpus)}" for name, cpus in lost.items()]
        there = "floats over all where it comes" if one else "float over all where they come"
        yield f"{count(len(lost), 'VM')} {'is' if one else 'are'} confined ({listed(names, _NAMED)}), and {there}."


def downtime_sentence(changes: Changes) -> str:
    """Return who is shut off, and by what."""
    restarts = [vm for vm in changes.shut_off if vm.need is Need.RESTART]
    rebound = [vm for vm in changes.shut_off if vm.need is Need.REBIND]
    parts = []
    if restarts:
        parts.append(f"{count(len(restarts), 'restart')} ({names_of(restarts)})")
    if rebound:
        parts.append(
            f"{count(len(rebound), 'VM')} ({names_of(rebound)}) by a restart, or none by a copy with migratepages on "
            "the host: libvirt moves no bound memory while a VM runs"
        )
    return f"Downtime: {'; '.join(parts)}." if parts else "Downtime: none."


def aside_sentences(changes: Changes, schedule: Schedule) -> Iterator[str]:
    """Yield what the steps take beyond the changes, or spare: VMs that are put aside on the way, and come back."""
    steps: dict[str, list[Step]] = {step.vm: [] for step in schedule.steps if step.parking}
    if not steps:
        return
    for step in schedule.steps:
        if step.vm in steps:
            steps[step.vm].append(step)
    by_name = {vm.vm: vm for vm in changes.vms}
    more = sum(step.copied_gib for those in steps.values() for step in those)
    more -= sum(by_name[name].memory_gib for name in steps if name in by_name)
    spared = [vm for vm in changes.shut_off if vm.vm in steps and not any(s.need.is_downtime for s in steps[vm.vm])]
    one = len(steps) == 1
    text = f"{count(len(steps), 'VM')} ({listed([visible(name) for name in steps], _NAMED)})"
    text += f" {'is' if one else 'are'} put aside on the way and {'comes' if one else 'come'} back"
    text += f": {figure(more, 1)} GiB more than the moves alone"
    if spared:
        text += f", and {names_of(spared)} {'needs' if len(spared) == 1 else 'need'} no restart then"
    yield f"{text}."


def parking_proof(schedule: Schedule) -> str:
    """Return what is proven of how many VMs must be put aside."""
    if schedule.parking_moves == schedule.parking_bound and not schedule.blocked:
        return "proven fewest"
    return f"at least {schedule.parking_bound:,}"


def change_row(vm: VmChange) -> tuple[str, ...]:
    """Return one change as `CHANGE_COLUMNS` has it."""
    source, target = vm.source, vm.target
    return (
        visible(vm.vm),
        _ends(None if source is None else visible(source.host), visible(target.host)),
        _ends(None if source is None else nodes_words(source.cpu_nodes), nodes_words(target.cpu_nodes)),
        _ends(None if source is None else nodes_words(source.memory_nodes), nodes_words(target.memory_nodes)),
        figure(vm.memory_gib, 1) if vm.memory_gib else "-",
        gain_words(vm.gain),
        vm.need.value,
    )


def gain_words(gain: float | None) -> str:
    """Return what a change saves in remote access."""
    return "unknown" if gain is None else figure(round(gain, 3))


def nodes_words(nodes: Sequence[int] | None) -> str:
    """Return node ids; ``any`` where nothing binds."""
    return "any" if nodes is None else format_cpuset(nodes)


def names_of(vms: Sequence[VmChange]) -> str:
    """Return the first names, and how many more there are."""
    return listed([visible(vm.vm) for vm in vms], _NAMED)


def _ends(before: str | None, after: str) -> str:
    return after if before in (None, after) else f"{before} → {after}"


def _move(vms: Sequence[VmChange]) -> str:
    return "moves" if len(vms) == 1 else "move"
