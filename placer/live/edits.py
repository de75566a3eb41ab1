"""What somebody else changed of a domain between our reading it and our call: looked for right before each call."""

from __future__ import annotations

from typing import Any

from placer.live.calls import Call, CallKind, live_value
from placer.live.connect import Link, explained
from placer.live.domain_state import DomainState, find_domain, live_config, secure_config
from placer.live.owned import domain_edits, owned_values, value_edits
from placer.live.preconditions import Refusal
from placer.model.cpuset import format_cpuset, parse_cpuset

_TOLD = 3
_AGAIN = "look at it, then apply again: the plan goes into the domain as it is by then"


def still_runs(link: Link, domain: Any) -> bool:
    """Tell whether a domain runs.

    Raises
    ------
    HostError
        The host does not answer.
    """
    with explained(f"host {link.host!r}"):
        return bool(domain.isActive())


def edit_since(link: Link, state: DomainState, call: Call) -> Refusal | None:
    """Return what is no longer as it was when a call was planned, None where all of it is.

    Before a definition the whole persistent XML is compared, with its passwords, and of the running domain what the
    plan looks at: the rest of a live XML changes by itself, with the balloon and the guest's agent. Before a live call
    what it sets is compared. A domain that stopped meanwhile has lost nothing.

    Parameters
    ----------
    state
        The domain as it was read when the call was planned.

    Raises
    ------
    HostError
        The host does not answer.
    """
    domain = find_domain(link, state.uuid)
    if domain is None:
        return Refusal(
            reason="it went away while the plan was being applied", cure="import the fleet again and solve again"
        )
    if call.kind is not CallKind.DEFINE:
        return _other_value(link, domain, call)
    with explained(f"host {link.host!r}"):
        persistent, active = bool(domain.isPersistent()), bool(domain.isActive())
    if not persistent:
        return Refusal(reason="its definition was removed while the plan was being applied", cure=_AGAIN)
    if active and not state.running:
        return Refusal(reason="it started while the plan was being applied", cure="apply again")
    edits = domain_edits(call.before.encode(), secure_config(link, domain))
    if edits:
        return _edited("its definition", edits)
    live = live_config(link, domain) if active and state.live is not None else None
    if live is not None and state.live is not None:
        was, now = (owned_values(xml, f"live XML of domain {state.name!r}") for xml in (state.live, live))
        changed = value_edits(was, now)
        return _edited("the running domain", changed) if changed else None
    return None


def _other_value(link: Link, domain: Any, call: Call) -> Refusal | None:
    if not still_runs(link, domain):
        return None
    with explained(f"host {link.host!r}, {call.text}"):
        now = live_value(domain, call)
    if now == parse_cpuset(call.before):
        return None
    found = "gone" if now is None else f"{format_cpuset(now) or 'nothing'} now"
    return _edited(f"what `{call.text}` sets", [f"{call.before or 'nothing'} before, {found}"])


def _edited(what: str, edits: list[str] | tuple[str, ...]) -> Refusal:
    more = f", and {len(edits) - _TOLD} more" if len(edits) > _TOLD else ""
    return Refusal(
        reason=f"{what} was changed by something else while the plan was being applied, and that stays: "
        + "; ".join(edits[:_TOLD])
        + more,
        cure=_AGAIN,
    )
