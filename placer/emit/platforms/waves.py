"""A plan as one script for a platform: what differs, wave after wave, shown first and taken back in the other order.

Without arguments the script prints its commands and asks the platform nothing. With ``--apply`` every step first makes
sure that its VM is where the plan found it; a step that is done already is passed over, so a script that stopped can be
run again. Settings are kept as they were before the first change, for ``--undo``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from placer.emit.script import comment, quote
from placer.errors import Fault, InputError
from placer.model.fleet import Fleet
from placer.model.plan import Plan, PlanCell, PlanVm
from placer.model.units import count
from placer.model.vm import Vm
from placer.moves.model import Place, Step, StepKind
from placer.moves.schedule import schedule_moves

_NAMED = 3
"""VMs that a message names; of more the others are counted."""
_SHELL = r"""
mode=show way=forth failed=0 label=
for word in "$@"; do
  case $word in
    --apply) mode=apply ;;
    --undo) way=back ;;
    *) printf 'usage: bash %q [--apply] [--undo]\n' "$0" >&2; exit 2 ;;
  esac
done
saved=${PLACER_UNDO:-$0.undo}
say() { printf '%s\n' "$*" >&2; }
fail() { failed=$((failed + 1)); say "$label: $*"; return 1; }
words() {  # print words as a shell takes them, quoted where that is needed
  local word
  for word; do
    case $word in '' | *[!A-Za-z0-9_./:=,@%+-]*) printf '%s ' "${word@Q}" ;; *) printf '%s ' "$word" ;; esac
  done
}
run() {  # COMMAND...: print it, and carry it out if that is wanted
  words "$@"; printf '\n'
  [ $mode = show ] || "$@" || fail "$1 failed"
}
feed() {  # TEXT COMMAND...: the same, with the text on its standard input
  words "${@:2}"; printf '<<<%s\n' "${1@Q}"
  [ $mode = show ] || "${@:2}" <<<"$1" || fail "$2 failed"
}
same() { [ "$1" = "$2" ]; }
need() { command -v "$1" >/dev/null || { say "$1 is not here"; exit 2; }; }
kept() { printf %s "$saved/$(printf %s "$1" | sha256sum | cut -c -32)"; }
remember() {  # KEY: keep its settings as they are before the first change
  [ $mode = apply ] && [ ! -e "$(kept "$1")" ] || return 0
  (umask 077; mkdir -p "$saved" && settings "$1" >"$(kept "$1").new" && mv "$(kept "$1").new" "$(kept "$1")") ||
    fail "its settings cannot be read"
}
move() {  # LABEL KEY FROM TO HOW: only from where the plan found it, and once
  local here
  label=$1
  if [ $mode = apply ]; then
    here=$(where "$2") && [ -n "$here" ] || { fail "is not found"; return 1; }
    if same "$here" "$4"; then say "$label: is there already"; return 0; fi
    same "$here" "$3" || { fail "is on $here, not on $3"; return 1; }
  fi
  migrate "${@:2}"
}
change() {  # LABEL KEY HOST WORDS...: other settings, on whatever host it is now
  local host=$3
  label=$1
  [ $mode = show ] || { host=$(where "$2") && [ -n "$host" ]; } || fail "is not found" || return 1
  remember "$2" && set_to "$2" "$host" "${@:4}"
}
back() {  # LABEL KEY HOST: the settings of before
  label=$1
  [ -e "$(kept "$2")" ] || { say "$label: nothing was kept, nothing to do"; return 0; }
  restore "$2" "$3" "$(kept "$2")"
}
wave_done() {
  [ $failed -eq 0 ] || { say "stopped in wave $1: $failed failed"; exit 8; }
  [ $mode = show ] || say "wave $1 is done"
}
"""
_START = """\
start() {  # LABEL KEY HOST
  label=$1
  up "$2" "$3"
}
"""

Words = Callable[[Step, PlanVm, Vm, Place], Iterable[str] | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a platform is told.

    Attributes
    ----------
    title : what the script does, for its first lines.
    helpers : bash functions: ``where KEY`` prints the host of a VM, ``migrate KEY FROM TO HOW`` moves it (HOW is
        ``live``, ``cold`` for one that has to be shut off first, ``off`` for one that is), ``settings KEY`` prints what
        ``restore KEY HOST FILE`` can put back, ``set_to KEY HOST WORDS...`` changes them.
    key : the platform's name of a VM; None where it has none, which is refused.
    settings : the words of ``set_to`` for a step, or None where nothing differs.
    refuses : why a host of this name, or a VM of this key, cannot be there; None where nothing is wrong.
    notes : lines said once at the top, on how far the platform keeps the plan.
    on_arrival : settings are made after the move, on the host whose CPUs and nodes they name, and of a VM that moves
        cold before it starts there: ``migrate`` leaves one that it shuts off so, and ``up KEY HOST`` starts it.
        Otherwise they are made before the move, and hold from the VM's next start on.
    """

    title: str
    helpers: str
    key: Callable[[Vm], str | None]
    settings: Words
    refuses: Callable[[str], str | None] = lambda name: None
    notes: Callable[[Plan, Fleet], Iterable[str]] = lambda plan, fleet: ()
    missing: str = "give it a manager_id"
    on_arrival: bool = False


def wave_script(plan: Plan, fleet: Fleet, form: Form) -> bytes:
    """Return the script.

    Raises
    ------
    InputError
        A VM that changes has no name on the platform, or one that cannot be; all of them at once.
    """
    schedule = schedule_moves(fleet, plan)
    keys = _keys(schedule.steps, fleet, form)
    lines = [
        "#!/usr/bin/env bash",
        f"# {form.title}",
        "# Usage: bash SCRIPT           print the commands; nothing is asked or changed",
        "#        bash SCRIPT --apply   carry them out, wave after wave; after one with a failure it stops (exit 8)",
        "#        bash SCRIPT --undo    print what takes them back, last wave first; with --apply carry that out",
        *(comment(note) for note in form.notes(plan, fleet)),
        "set -u",
        "export LC_ALL=C",
        _SHELL.strip("\n"),
        form.helpers.strip("\n") + (f"\n{_START.rstrip()}" if form.on_arrival else ""),
    ]
    forth: list[list[str]] = []
    back: list[list[str]] = []
    for wave in schedule.waves:
        pairs = [
            _step(step, plan.vm_by_name[step.vm], fleet.vm_by_name[step.vm], keys.get(step.vm), form)
            for step in wave.steps
        ]
        forth.append([line for ahead, _ in pairs for line in ahead])
        back.append([line for _, behind in reversed(pairs) for line in behind])
    lines += _waves("forth", list(enumerate(forth, start=1)))
    lines += _waves("back", list(enumerate(back, start=1))[::-1])
    lines += ["[ $way = forth ] || { back_all; exit 0; }", "forth_all"]
    lines += [comment(str(rule)) for rule in schedule.broken]
    lines += [comment(f"no order was found for {entry.vm}: {entry.reason}") for entry in schedule.blocked]
    lines += [comment(f"remains: {step.vm} to {step.target.host}") for step in schedule.remaining]
    if schedule.blocked:
        have = count(len(schedule.blocked), "VM has", "VMs have")
        lines.append(f"say '{have} no order: see the end of this script'; exit 8")
    return "\n".join([*lines, ""]).encode("utf-8", "surrogateescape")


def affinity(place: Place) -> frozenset[int]:
    """Return every CPU that a thread of the VM may run on."""
    return frozenset().union(*place.pins.values(), place.emulator or (), *place.iothreads.values())


def still_floats(vm: Vm, cells: Iterable[PlanCell]) -> bool:
    """Tell whether nothing of the VM is bound, neither in the plan nor now: there is nothing to set then."""
    now = vm.current
    bound_now = now is not None and (now.pins or now.memory_nodes or now.bound)
    return not bound_now and not any(cell.nodes for cell in cells)


def settled(step: Step) -> bool:
    """Tell whether the step brings its VM to where the plan wants it, not only out of the way."""
    return not (step.parking or step.passing)


def _waves(name: str, waves: list[tuple[int, list[str]]]) -> Iterator[str]:
    yield f"{name}_all() {{"
    if not waves:
        yield "  say 'there is nothing to do: the plan moves and sets nothing'"
    for number, lines in waves:
        yield f"  say 'wave {number}'"
        yield from (f"  {line}" for line in lines)
        yield f"  wave_done {number}"
    yield "  return 0"
    yield "}"


def _step(step: Step, planned: PlanVm, vm: Vm, key: str | None, form: Form) -> tuple[list[str], list[str]]:
    """Return the lines that make a step, and those that take it back."""
    name = quote("".join(char if char.isprintable() else repr(char)[1:-1] for char in step.vm))
    place = step.target
    words = form.settings(step, planned, vm, place) if settled(step) else None
    said = None if words is None else " ".join(quote(word) for word in words)
    if key is None:
        told = f": {said}" if said else ""
        return [comment(f"{step.vm} is nowhere yet: create it on {place.host}{told}")], []
    ident, host = quote(key), quote(place.host)
    ahead, behind = [], []
    moves = step.source is not None and step.source.host != place.host
    if said is not None and not (moves and form.on_arrival):
        ahead.append(f"change {name} {ident} {host if not moves else quote(step.hosts[0])} {said}")
    how = "off" if not vm.running else "cold" if step.kind is StepKind.RESTART else "live"
    if moves and step.source is not None:
        ahead.append(f"move {name} {ident} {quote(step.source.host)} {host} {how}")
        behind.append(f"move {name} {ident} {host} {quote(step.source.host)} {how}")
    if said is not None and moves and form.on_arrival:
        ahead.append(f"change {name} {ident} {host} {said}")
    if said is not None:
        behind.append(f"back {name} {ident} {host if step.source is None else quote(step.source.host)}")
    if moves and step.source is not None and how == "cold" and form.on_arrival:
        ahead.append(f"start {name} {ident} {host}")
        behind.append(f"start {name} {ident} {quote(step.source.host)}")
    if step.kind in (StepKind.RENODE, StepKind.RESTART) and said is not None and not moves:
        ahead.append(comment(f"{step.vm}: its memory is on the planned nodes once it was shut off and started again"))
    return ahead, behind


def _keys(steps: Iterable[Step], fleet: Fleet, form: Form) -> dict[str, str]:
    keys: dict[str, str] = {}
    faults: dict[str, Fault] = {}
    nameless: dict[str, None] = {}
    for step in steps:
        vm = fleet.vm_by_name[step.vm]
        key = form.key(vm)
        if key is not None:
            keys[step.vm] = key
        elif step.kind is not StepKind.START:
            nameless[step.vm] = None
        for what, name in (("VM", key), *(("host", host) for host in step.hosts)):
            if name is not None and (why := form.refuses(name)) is not None:
                faults[f"{what} {name}"] = Fault(message=f"{what} {name!r}: {why}", file=fleet.path)
    unnamed = [_unnamed(list(nameless), fleet, form)] if nameless else []
    if unnamed or faults:
        raise InputError([*unnamed, *faults.values()])
    return keys


def _unnamed(vms: list[str], fleet: Fleet, form: Form) -> Fault:
    """Return that the platform's names of VMs are not known: one cure is for all of them."""
    shown = ", ".join(map(repr, vms[:_NAMED]))
    more = f" and {len(vms) - _NAMED:,} more" if len(vms) > _NAMED else ""
    message = f"the platform's name of VM{'s' if len(vms) > 1 else ''} {shown}{more} is not known"
    return Fault(message=message, file=fleet.path, cure=form.missing)


def changes_of(plan: Plan) -> Iterator[PlanVm]:
    """Yield the VMs that the plan changes."""
    return (vm for vm in plan.vms if not vm.change.stays)
