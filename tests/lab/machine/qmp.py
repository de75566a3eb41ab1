"""The three things the lab asks of QEMU's monitor: save the state, resume, quit."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any


class Monitor:
    """One connection to a QMP socket; QEMU takes no second one while it is open."""

    def __init__(self, path: Path, timeout_s: float = 120.0) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(timeout_s)
        try:
            self._socket.connect(str(path))
            self._file = self._socket.makefile("rw")
            self._file.readline()
            self.command("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> Monitor:
        """Return the monitor itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._file.close()
        self._socket.close()

    def command(self, name: str, **arguments: object) -> Any:
        """Send one command and return its answer; events in between are dropped."""
        self._file.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._file.flush()
        while True:
            line = self._file.readline()
            if not line:
                raise ConnectionError(f"QEMU hung up during {name}")
            answer = json.loads(line)
            if "error" in answer:
                raise RuntimeError(f"{name}: {answer['error']}")
            if "return" in answer:
                return answer["return"]


def save_and_quit(path: Path, state: Path) -> None:
    """Stop the machine, write its state as a zstd file and end QEMU."""
    with Monitor(path) as monitor:
        monitor.command("stop")
        monitor.command("migrate-set-parameters", **{"max-bandwidth": 10**11})
        monitor.command("migrate", uri=f"exec:zstd -q -1 -T2 -f -o {state}")
        while True:
            status = monitor.command("query-migrate").get("status")
            if status == "completed":
                break
            if status in ("failed", "cancelled"):
                raise RuntimeError(f"saving the lab ended with {status!r}")
            time.sleep(0.1)
        monitor.command("quit")


def resume(path: Path, timeout_s: float) -> None:
    """Wait until a restored machine is there and let it run: saved after ``stop`` it comes back stopped."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            with Monitor(path) as monitor:
                while True:
                    status = monitor.command("query-status")["status"]
                    if status == "running":
                        return
                    if status in ("paused", "postmigrate", "prelaunch"):
                        monitor.command("cont")
                    if time.monotonic() > deadline:
                        raise TimeoutError(f"the lab is still {status!r} after {timeout_s:g} s")
                    time.sleep(0.05)
        except (FileNotFoundError, ConnectionError):
            if time.monotonic() > deadline:
                raise TimeoutError(f"no QEMU at {path} after {timeout_s:g} s") from None
            time.sleep(0.05)
