"""Domains that start, stop, appear and vanish at random beside what is tested, over a connection of their own."""

from __future__ import annotations

import contextlib
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

_NAMED = re.compile(r"VM '([^']+)'|domain '([^']+)'")
_EXPECTED = (1, 9, 38, 42, 55, 68)
"""What libvirt says where two are at one domain: internal error, exists already, system, none, invalid, busy."""


def named(err: str) -> set[str]:
    """Return the domains that messages name."""
    return {name for pair in _NAMED.findall(err) for name in pair if name}


class Churn:
    """A thread that acts on domains, each given by name with its XML; `fleeting` ones are also removed."""

    def __init__(self, uri: str, domains: Mapping[str, str], fleeting: set[str], *, flags: int, seed: int) -> None:
        import libvirt

        self.libvirt = libvirt
        self.raw: Any = libvirt.open(uri)
        self.domains = dict(domains)
        self.fleeting = fleeting
        self.flags = flags
        self.rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.unexpected: list[str] = []
        self._may_act = threading.Lock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="churn", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def at_rest(self) -> Iterator[None]:
        """Hold it between two of its acts."""
        with self._may_act:
            yield

    def end(self) -> None:
        """End it."""
        self._end.set()
        self._thread.join(timeout=120)
        self.raw.close()

    def _run(self) -> None:
        while not self._end.wait(0.005):
            with self._may_act:
                try:
                    self._act(self.rng.choice(sorted(self.domains)))
                except self.libvirt.libvirtError as error:
                    # Placer may be defining it at this very moment; what is wrong afterwards the rounds find out.
                    self.done["refused"] += 1
                    if error.get_error_code() not in _EXPECTED:
                        self.unexpected.append(str(error))

    def _act(self, name: str) -> None:
        found = [domain for domain in self.raw.listAllDomains() if domain.name() == name]
        if not found:
            self.raw.defineXML(self.domains[name])
            self.done["appeared"] += 1
        elif found[0].isActive():
            found[0].destroy()
            self.done["stopped"] += 1
        elif name in self.fleeting and self.rng.random() < 0.5:
            found[0].undefine()
            self.done["vanished"] += 1
        else:
            found[0].createWithFlags(self.flags)
            self.done["started"] += 1
