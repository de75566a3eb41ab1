"""Connections to libvirt: the binding is imported here and nowhere else, and every failure becomes one plain line."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from placer.errors import InputError, MissingToolError, PartialError

KEEPALIVE_S = 5
KEEPALIVE_COUNT = 4
"""A daemon that is silent for longer than their product is given up: its calls then fail instead of hanging."""

_RUNS_COMMANDS = ("command", "netcat")
_NO_DOMAIN = 42
_READ_ONLY = 29
_ACCESS_DENIED = 88
_NO_SUPPORT = (3, 55, 84)


class HostError(PartialError):
    """One host or domain failed: the others go on."""

    code = "host"


class UnreachableError(HostError):
    """Nothing answers at a host's URI, or no longer: where that is so of all hosts, there is nothing to do."""


@dataclass(kw_only=True)
class Link:
    """An open connection to the libvirt of one host. `raw` is libvirt-python's own object."""

    host: str
    uri: str
    raw: Any = field(repr=False)
    writable: bool

    @property
    def is_test_driver(self) -> bool:
        """Tell whether this is libvirt's mock hypervisor, which has no processes and no memory."""
        return str(self.raw.getType()).lower() == "test"

    def cpu_count(self) -> int:
        """Return how many CPUs a CPU map of this host has."""
        with explained(self.host):
            return int(self.raw.getCPUMap()[0])

    def capabilities(self) -> bytes:
        """Return the host's capabilities XML."""
        with explained(self.host):
            return str(self.raw.getCapabilities()).encode()

    def versions(self) -> tuple[int | None, int | None]:
        """Return the versions of the daemon's libvirt and of its hypervisor, None where it does not tell."""
        with explained(f"host {self.host!r}"):
            return self.raw.getLibVersion() or None, self.raw.getVersion() or None

    def is_alive(self) -> bool:
        """Tell whether the daemon is still at the other end."""
        try:
            return bool(self.raw.isAlive())
        except libvirt_error():
            return False

    def close(self) -> None:
        """Close the connection; one that is already broken is closed all the same."""
        with contextlib.suppress(libvirt_error()):
            self.raw.close()


@cache
def load_libvirt() -> Any:
    """Return the module libvirt, quiet and with its event loop running.

    Raises
    ------
    MissingToolError
        libvirt-python is not installed, or the C library it was built for is gone.
    """
    try:
        import libvirt
    except ImportError as error:
        raise MissingToolError(
            f"libvirt-python is needed to reach hosts and is not here ({error.name or error})",
            cure='pip install "numa-placer[libvirt]" (it is built from libvirt-dev, pkg-config and gcc)',
        ) from None
    # By default libvirt prints every error on standard error, also those that placer handles.
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    if libvirt.virEventRegisterDefaultImpl() == 0:
        # Without a running event loop no keepalive is sent, and a call to a dead host never returns.
        threading.Thread(target=_run_events, args=(libvirt,), name="libvirt-events", daemon=True).start()
    return libvirt


def libvirt_error() -> type[Exception]:
    """Return the exception type of libvirt-python."""
    kind: type[Exception] = load_libvirt().libvirtError
    return kind


def open_link(host: str, uri: str, *, writable: bool) -> Link:
    """Connect to a host.

    Parameters
    ----------
    host
        The host's name in messages.
    uri
        A libvirt URI. With ssh it never asks for a password: many hosts are asked at once.
    writable
        False opens read-only, which suffices to look and can change nothing.

    Raises
    ------
    UnreachableError
        Nothing answers there, or it does not let us in.
    """
    libvirt = load_libvirt()
    try:
        raw = (libvirt.open if writable else libvirt.openReadOnly)(_without_password(uri))
    except libvirt.libvirtError as error:
        raise UnreachableError(
            f"host {host!r}: no libvirt at {uri}: {one_line(error)}",
            cure="see that libvirtd (or virtqemud) runs there and that the URI is right: virsh -c URI uri",
        ) from None
    with contextlib.suppress(libvirt.libvirtError):
        raw.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)  # local drivers have no connection to keep alive
    return Link(host=host, uri=uri, raw=raw, writable=writable)


@contextlib.contextmanager
def reading(host: str, uri: str) -> Iterator[Link]:
    """Connect to a host in order to look, and close the connection afterwards.

    Raises
    ------
    UnreachableError
        Nothing answers there, or the connection broke meanwhile.
    """
    link = open_link(host, uri, writable=False)
    try:
        yield link
    except HostError as error:
        if link.is_alive():
            raise
        raise UnreachableError(error.faults) from None
    finally:
        link.close()


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn an error of libvirt into a `HostError` that names what was being done."""
    try:
        yield
    except libvirt_error() as error:
        cure = None
        if is_read_only(error):
            cure = "use a URI and a user that may change domains: this connection can only read"
        raise HostError(f"{what}: {one_line(error)}", cure=cure) from None


def one_line(error: Exception) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def is_gone(error: Exception) -> bool:
    """Tell whether libvirt says that there is no such domain."""
    return _code(error) == _NO_DOMAIN


def is_read_only(error: Exception) -> bool:
    """Tell whether libvirt refuses because the connection may only read."""
    return _code(error) in (_READ_ONLY, _ACCESS_DENIED)


def is_unsupported(error: Exception) -> bool:
    """Tell whether the driver cannot do this at all."""
    return _code(error) in _NO_SUPPORT


def check_inventory_uri(host: str, uri: str) -> None:
    """Refuse a URI that makes libvirt run a program of its choice: an inventory is data, and may come from anybody.

    On the command line such URIs are taken: there a person wrote them.

    Raises
    ------
    InputError
        The URI has such a transport or parameter.
    """
    parts = urlsplit(uri)
    named = {name.lower() for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
    risky = sorted(named.intersection(_RUNS_COMMANDS))
    if parts.scheme.endswith("+ext") or risky:
        what = f"parameter {risky[0]!r}" if risky else "transport ext"
        raise InputError(
            f"host {host!r}: the inventory's uri has the {what}, which names a program to run",
            field="uri",
            cure="give it by hand: --connect HOST=URI",
        )


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if not parts.scheme.endswith("+ssh") or "no_tty=" in parts.query:
        return uri
    return uri + ("&" if parts.query else "?") + "no_tty=1"


def _code(error: Exception) -> int | None:
    code = getattr(error, "get_error_code", None)
    return None if code is None else code()


def _run_events(libvirt: Any) -> None:
    while libvirt.virEventRunDefaultImpl() == 0:
        pass
