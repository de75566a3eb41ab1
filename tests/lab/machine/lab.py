"""The lab's life: built once per scripts and package versions, restored in seconds, ended by its own process."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab.machine.command import qemu_command
from tests.lab.machine.qmp import resume, save_and_quit

SCRIPTS = Path(__file__).resolve().parent
TOOLS = (
    "qemu-system-x86_64", "qemu-img", "mmdebstrap", "cpio", "zstd", "ssh", "ssh-keygen", "virsh", "apt-get",
    "apt-cache", "dpkg-deb", "chroot", "setpriv",
)  # fmt: skip
PACKAGES = (
    "libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients", "qemu-system-x86", "numactl", "numad",
    "busybox-static", "hwloc-nox", "bash", "coreutils", "util-linux", "dropbear-bin", "seabios", "kmod", "iproute2",
)  # fmt: skip
KERNEL = "linux-image-cloud-amd64"
_KEPT_BUILDS = 2
_START_TIMEOUT_S = 90.0
_BOOT_TIMEOUT_S = 300.0
_WARM_UP = """<domain type='qemu'><name>warm-up</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<memballoon model='none'/></devices></domain>"""


def missing() -> str | None:
    """Return why the lab cannot be built here, or None."""
    if sys.platform != "linux":
        return "the lab is built from Debian packages and needs Linux"
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    lacking = [tool for tool in TOOLS if shutil.which(tool, path=path) is None]
    if lacking:
        return f"the lab needs {', '.join(lacking)}: make lab installs them as root"
    if os.geteuid() != 0:
        return "the lab's root filesystem is unpacked as root"
    if "VERSION_CODENAME=bookworm" not in Path("/etc/os-release").read_text().splitlines():
        return "the lab is built from this machine's own package sources, and this is not Debian 12"
    if not _candidates():
        return "apt knows no candidate of libvirt-daemon: apt-get update"
    return None


@dataclass(frozen=True, slots=True)
class Image:
    """A built lab: kernel, disk, saved state, the key of its ssh user and the folder that holds them."""

    folder: Path

    @property
    def state(self) -> Path:
        """The saved state of the warm machine."""
        return self.folder / "state.zst"

    @property
    def disk(self) -> Path:
        """The disk that belongs to the saved state."""
        return self.folder / "warm.qcow2"

    @property
    def ssh_key(self) -> Path:
        """The private key of root."""
        return self.folder / "ssh_key"


def image() -> Image:
    """Return the lab's image; build it where the cache has none of these scripts and these packages."""
    cache = _cache()
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / _key()
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "state.zst").exists():
            _build(folder)
        os.utime(folder)
        _prune(cache, folder)
    return Image(folder)


@contextlib.contextmanager
def running_lab(built: Image) -> Iterator[Lab]:
    """Restore the lab, hand it out, and end it."""
    with tempfile.TemporaryDirectory(prefix="placer-lab-") as folder:
        lab = Lab(built, Path(folder))
        try:
            lab.start()
            yield lab
        finally:
            lab.stop()


class Lab:
    """One running lab: its libvirt URI, its shell over ssh."""

    def __init__(self, built: Image, run: Path) -> None:
        self.image = built
        self.run_dir = run
        self.libvirt_port = _free_port()
        self.ssh_port = _free_port()
        self._qemu: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        """The URI of libvirt in the lab."""
        return f"qemu+tcp://127.0.0.1:{self.libvirt_port}/system"

    @property
    def ssh_config(self) -> Path:
        """A configuration with which ``ssh 127.0.0.1`` is a shell of the lab's root."""
        return self.run_dir / "ssh_config"

    def start(self) -> None:
        """Restore the saved state and wait until libvirt answers."""
        self._write_ssh_config()
        command = qemu_command(
            self.image.folder, self.run_dir, disk=self.image.disk, snapshot=True, libvirt_port=self.libvirt_port,
            ssh_port=self.ssh_port, incoming=self.image.state,
        )  # fmt: skip
        self._qemu = _spawn(command, self.run_dir / "qemu.log")
        resume(self.run_dir / "qmp.sock", _START_TIMEOUT_S)
        _wait_for_libvirt(self.uri, _START_TIMEOUT_S)

    def stop(self) -> None:
        """End QEMU: this lab's own process and no other."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait(timeout=30)
            self._qemu = None

    def shell(self, script: str, *, timeout_s: float = 60.0, check: bool = True) -> str:
        """Run a shell script in the lab and return what it printed."""
        done = subprocess.run(
            ["ssh", "-F", str(self.ssh_config), "127.0.0.1", "sh -s"],
            input=script, capture_output=True, text=True, timeout=timeout_s,
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"in the lab exit {done.returncode}: {script[:200]!r}: {done.stderr.strip()}")
        return done.stdout

    def virsh(self, *arguments: str, timeout_s: float = 90.0, check: bool = True) -> str:
        """Run virsh against the lab from outside."""
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri, *arguments], capture_output=True, text=True, timeout=timeout_s
        )
        if check and done.returncode:
            raise RuntimeError(f"virsh {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout + ("" if check else done.stderr)

    def _write_ssh_config(self) -> None:
        options = {
            "Port": self.ssh_port, "User": "root", "IdentityFile": self.image.ssh_key, "IdentitiesOnly": "yes",
            "BatchMode": "yes", "StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR",
            "ConnectTimeout": 10,
        }  # fmt: skip
        lines = ["Host 127.0.0.1", *(f"    {name} {value}" for name, value in options.items())]
        self.ssh_config.write_text("\n".join(lines) + "\n")


def _build(folder: Path) -> None:
    """Build in a folder beside it and rename at the end: what is there is whole."""
    work = folder.with_name(folder.name + ".building")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700)
    package = _run(["apt-cache", "depends", KERNEL]).partition("Depends: ")[2].split()[0]
    downloads = work / "downloads"
    downloads.mkdir()
    _run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package], cwd=downloads)
    [archive] = downloads.glob("*.deb")
    _run(["dpkg-deb", "-x", str(archive), str(work / "kernel")])
    _run(["bash", str(SCRIPTS / "build_root.sh"), str(work / "root"), ",".join(PACKAGES)])
    made = work / "image"
    _run(
        [
            "bash",
            str(SCRIPTS / "build_disk.sh"),
            str(work / "root"),
            str(work / "kernel"),
            str(SCRIPTS / "init.sh"),
            str(made),
        ]
    )
    _warm(made)
    os.rename(made, folder)
    shutil.rmtree(work)


def _warm(made: Path) -> None:
    """Boot once, let libvirt learn what QEMU can do, run one domain, and save the machine as it then is."""
    disk = made / "warm.qcow2"
    _run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", "root.ext4", "-F", "raw", str(disk)])
    with tempfile.TemporaryDirectory(prefix="placer-lab-") as run:
        port = _free_port()
        command = qemu_command(
            made, Path(run), disk=disk, snapshot=False, libvirt_port=port, ssh_port=_free_port(), incoming=None
        )
        qemu = _spawn(command, Path(run) / "qemu.log")
        try:
            _wait_for_console(Path(run) / "console.log", qemu)
            uri = f"qemu+tcp://127.0.0.1:{port}/system"
            _run(["virsh", "-q", "-c", uri, "domcapabilities", "--virttype", "qemu"], timeout_s=120)
            domain = Path(run) / "warm-up.xml"
            domain.write_text(_WARM_UP)
            _run(["virsh", "-q", "-c", uri, "create", str(domain)], timeout_s=120)
            _run(["virsh", "-q", "-c", uri, "destroy", "warm-up"], timeout_s=60)
            save_and_quit(Path(run) / "qmp.sock", made / "state.zst")
            qemu.wait(timeout=30)
        finally:
            qemu.kill()
            qemu.wait(timeout=30)


def _spawn(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start QEMU so that it ends with this process, whatever ends it."""
    with log.open("wb") as out:
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )


def _wait_for_console(console: Path, qemu: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _BOOT_TIMEOUT_S
    while not (console.exists() and b"LAB READY" in console.read_bytes()):
        if qemu.poll() is not None:
            raise RuntimeError(
                f"QEMU ended with {qemu.returncode}: {console.with_name('qemu.log').read_text()[-2000:]}"
            )
        if time.monotonic() > deadline:
            raise TimeoutError(f"the lab did not boot in {_BOOT_TIMEOUT_S:g} s: {console.read_text()[-2000:]}")
        time.sleep(0.2)


def _wait_for_libvirt(uri: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            done = subprocess.run(["virsh", "-q", "-c", uri, "uri"], capture_output=True, timeout=10)
            if done.returncode == 0:
                return
        except subprocess.TimeoutExpired:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer from {uri} in {timeout_s:g} s")
        time.sleep(0.1)


def _run(command: Sequence[str], *, cwd: Path | None = None, timeout_s: float = 900.0) -> str:
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=timeout_s, env={**os.environ, "PATH": path}
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)[:200]} ended with {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _cache() -> Path:
    given = os.environ.get("PLACER_LAB_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "placer-lab"


def _candidates() -> str:
    """Return name and candidate version of every package that goes into the lab; empty where apt knows none."""
    printed = _run(["apt-cache", "policy", *PACKAGES, KERNEL])
    lines = [line.strip() for line in printed.splitlines() if not line.startswith("  ") or "Candidate:" in line]
    return "" if "Candidate: (none)" in lines or len(lines) < 2 * len(PACKAGES) else "\n".join(lines)


def _key() -> str:
    """Return the hash of all that the image and the saved state depend on."""
    digest = hashlib.sha256(_candidates().encode())
    digest.update(_run(["qemu-system-x86_64", "--version"]).encode())
    for script in sorted(SCRIPTS.iterdir()):
        if script.suffix in (".sh", ".py"):
            digest.update(script.name.encode() + b"\0" + script.read_bytes())
    return digest.hexdigest()[:16]


def _prune(cache: Path, current: Path) -> None:
    """Remove all builds but the newest few, and what a broken build left."""
    builds = [entry for entry in cache.iterdir() if entry.is_dir() and entry != current]
    builds.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    for old in builds[_KEPT_BUILDS - 1 :]:
        shutil.rmtree(old)
