"""Files made to hurt are refused with one line, in under a second."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from placer.errors import InputError
from placer.read.domains.virsh_text import read_numatune, read_threadpin, read_vcpuinfo, read_vcpupin
from placer.read.hosts.cpuinfo import parse_cpuinfo
from placer.read.hosts.host import parse_topology, read_topology
from placer.read.hosts.lscpu_summary import parse_lscpu_summary
from placer.read.hosts.mlc import read_matrices
from placer.read.hosts.nodeinfo import parse_nodeinfo
from placer.read.hosts.numactl import parse_numactl
from placer.read.imports.openstack_flavors import properties
from placer.read.recognise import recognise
from tests.effort import no_more_than

GIB = 1024**3
CPU = "sys/devices/system/cpu/cpu0/topology/core_id"


@contextmanager
def refused(match: str) -> Iterator[None]:
    """Expect an `InputError` of one line, soon."""
    with no_more_than(1000), pytest.raises(InputError, match=match) as refusal:
        yield
    assert "\n" not in str(refusal.value)


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _file(name: str, data: bytes = b"0\n") -> tuple[tarfile.TarInfo, bytes]:
    return tarfile.TarInfo(name), data


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member, b""


BOMB = """<?xml version="1.0"?>
<!DOCTYPE capabilities [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>
<capabilities><host><topology><cells><cell id="0">&c;</cell></cells></topology></host></capabilities>"""


@pytest.mark.parametrize("root", ["capabilities", "topology"])
@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE {root} [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE {root} SYSTEM "http://127.0.0.1:9/x.dtd">',
        '<!DOCTYPE {root} SYSTEM "hwloc2.dtd" [<!ENTITY x "y">]>',
        '<!DOCTYPE {root} [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    ],
)
def test_entities(root: str, doctype: str) -> None:
    """A DOCTYPE with entities, or with a DTD other than hwloc's own, is refused."""
    with refused("DOCTYPE"):
        parse_topology(f"{doctype.format(root=root)}<{root}>&x;</{root}>".encode(), "bomb.xml")


def test_billion_laughs() -> None:
    """Entities that multiply are refused before they are read."""
    with refused("bomb.xml:2: the XML has a DOCTYPE"):
        parse_topology(BOMB.encode(), "bomb.xml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-7", "utf-32", "ebcdic-cp-us"])
def test_doctype_hidden_by_an_encoding(encoding: str) -> None:
    """An encoding that hides the DOCTYPE from a search for it does not help."""
    python = {"ebcdic-cp-us": "cp037"}.get(encoding, encoding)
    text = BOMB.replace('"1.0"?>', f'"1.0" encoding="{encoding}"?>')
    data = f'<?xml version="1.0" encoding="{encoding}"?>'.encode() + text.split("?>", 1)[1].encode(python)
    for content in (text.encode(python), data):
        with refused("."):
            parse_topology(content, "bomb.xml")


def test_deep_and_wide_xml() -> None:
    """Elements nested 100,000 deep, and millions of them beside each other, are refused."""
    with refused("bomb.xml"):
        parse_topology(b"<capabilities>" + b"<a>" * 100_000, "bomb.xml")
    with refused("more than 500000 tags"):
        parse_topology(b"<capabilities>" + b"<a/>" * 2_000_000 + b"</capabilities>", "bomb.xml")
    with refused("attributes"):
        parse_topology(b"<capabilities " + b"a='' " * 2_500_000 + b"/>", "bomb.xml")


def test_archive_of_one_huge_member() -> None:
    """A member of 10 GiB is refused at its header, packed or not."""
    member = tarfile.TarInfo("sys/devices/system/cpu/online")
    member.size = 10 * GIB
    for name in (member.name, "sys/whatever"):
        member.name = name
        header = member.tobuf(tarfile.GNU_FORMAT)
        with refused("bytes: no file of /sys has"):
            parse_topology(header, "bomb.tar")
        with refused("bytes: no file of /sys has"):
            parse_topology(gzip.compress(header), "bomb.tar.gz")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_archives_that_unpack_to_half_a_gibibyte(pack: Callable[[bytes], bytes]) -> None:
    """Archives that grow a thousandfold are refused at the limit, not unpacked to the end."""
    member = tarfile.TarInfo("sys/padding")
    member.size = 32 * 1024 * 1024
    bomb = pack(member.tobuf(tarfile.GNU_FORMAT) + b"\0" * member.size) * 16
    assert len(bomb) < 2 * 1024 * 1024
    with refused("unpacks to more than"):
        parse_topology(bomb, "bomb.tar.x")


def test_archive_of_very_many_members() -> None:
    """An archive of very many empty members is refused by its size, one of fewer by their number."""
    header = tarfile.TarInfo("sys/a").tobuf(tarfile.USTAR_FORMAT)
    with refused("more than 134217728 bytes"):
        parse_topology(header * 270_000, "bomb.tar")
    with refused("more than 200000 members"):
        parse_topology(header * 210_000, "bomb.tar")


def test_names_and_links_that_lead_out() -> None:
    """Members named with ``..`` and links out of the archive are refused; links to themselves too."""
    with refused("leads out of the archive"):
        parse_topology(_tar(_file(CPU), _file("sys/../../etc/passwd")), "out.tar")
    online = "sys/devices/system/cpu/online"
    for target in ("../../../../../etc/hostname", "/etc/hostname"):
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
            with refused("leads out of the archive"):
                parse_topology(_tar(_file(CPU), _link(online, target, kind)), "out.tar")
    with refused("is a link to itself"):
        parse_topology(_tar(_file(CPU), _link(online, "online")), "out.tar")


def test_links_inside_an_archive() -> None:
    """A link that stays inside is resolved by name, through folders that are links too."""
    archive = _tar(
        _file(CPU),
        _file("sys/devices/system/cpu/cpu1/topology/core_id"),
        _file("sys/devices/system/cpu/present", b"0-1\n"),
        _link("sys/devices/system/cpu/online", "../cpu/present"),
    )
    assert parse_topology(archive, "in.tar").cpus == {0, 1}


def test_links_out_of_a_directory(tmp_path: Path) -> None:
    """In a directory a link that leads out is refused, and a pipe does not hang the reader."""
    cpu = tmp_path / "sys" / "devices" / "system" / "cpu"
    (cpu / "cpu0" / "topology").mkdir(parents=True)
    (cpu / "cpu0" / "topology" / "core_id").write_text("0\n")
    (cpu / "online").symlink_to("/etc/hostname")
    with refused("leads out of the directory"):
        read_topology(tmp_path)
    (cpu / "online").unlink()
    os.mkfifo(cpu / "online")
    assert read_topology(tmp_path).cpus == {0}


@pytest.mark.parametrize(
    "text",
    [
        "available: 1 nodes (0)\nnode 0 cpus: {long}\nnode 0 size: 1 MB\n",
        "# CPU,Core,Socket,Node\n0,0,0,{long}\n",
        "CPU NODE SOCKET CORE\n0 0 0 {long}\n",
        '{{"cpus": [{{"cpu": {long}}}]}}',
        '{{"lscpu": [{{"field": "On-line CPU(s) list:", "data": "{long}"}}]}}',
        "Architecture: x86_64\nOn-line CPU(s) list: {long}\n",
        "CPU(s): {long}\nNUMA cell(s): 1\n",
        "processor : {long}\n",
        "{long}",
    ],
)
@pytest.mark.parametrize("filling", ["0 ", "9", "1,", "0-65535,"])
def test_lines_of_ten_million_characters(text: str, filling: str) -> None:
    """A line of ten million characters is refused in every text format."""
    data = text.format(long=filling * (10_000_000 // len(filling))).encode()
    with refused("."):
        parse_topology(data, "long.txt")
    if "available" in text:
        with refused("a line has"):
            read_matrices(data, "long.txt")


@pytest.mark.parametrize("piece", [b"\xde\xad\xbe\xef", b"garbage\n", b"<", b"{", b"a: ", b"0,", b"\n"])
def test_fifty_megabytes_of_garbage(piece: bytes) -> None:
    """50 MB of nothing in particular is refused."""
    data = piece * (50_000_000 // len(piece))
    with refused("."):
        recognise(data, "garbage")
    with refused("."):
        parse_topology(b"available: 1 nodes (0)\n" + data, "garbage")


def test_json_nested_too_deep() -> None:
    """JSON nested deeper than Python can follow is refused."""
    with refused("not JSON"):
        parse_topology(b'{"lscpu": ' + b"[" * 100_000, "deep.json")
    fields: object = []
    for _ in range(200):
        fields = [{"field": "x", "children": fields}]
    with refused("no CPU that is online"):
        parse_topology(json.dumps({"lscpu": fields}).encode(), "deep.json")


def test_no_such_file_and_no_file(tmp_path: Path) -> None:
    """A file that is not there, a pipe, an empty file and an empty directory are refused by name."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "empty").write_bytes(b" \n")
    (tmp_path / "folder").mkdir()
    for name, reason in (
        ("nothing", "cannot be read"),
        ("pipe", "no regular file"),
        ("empty", "empty"),
        ("folder", "no copy of /sys"),
    ):
        with refused(reason):
            read_topology(tmp_path / name)
    with refused("cannot be read"):
        read_topology("a\0b")


def test_cpu_lists_that_exhaust() -> None:
    """Short texts that stand for billions of CPUs are refused: in one list, in many lists, in many nodes."""
    everything = "0-65535," * 10_000 + "0"
    cells = "".join(
        f"<cell id='{node}'><cpus><cpu id='{node}' socket_id='0' siblings='0-65535,{node}'/></cpus></cell>"
        for node in range(900)
    )
    nodes = "".join(f"node {node} cpus: 0-65535\n" for node in range(1000))
    with refused("over and over"):
        parse_topology(f"node 0 cpus: {everything}\n".encode(), "many.txt")
    with refused("in sets that all differ"):
        caps = f"<capabilities><host><topology><cells>{cells}</cells></topology></host></capabilities>"
        parse_topology(caps.encode(), "many.xml")
    with refused("in all"):
        parse_topology(nodes.encode(), "many.txt")


def test_very_many_nodes() -> None:
    """More nodes than Linux knows are refused before a square matrix is made of them."""
    with refused("more than 1024 nodes"):
        parse_topology("".join(f"node {node} cpus: {node}\n" for node in range(5000)).encode(), "many.txt")


@pytest.mark.parametrize(
    "line",
    [
        "processor" + " " * 900_000 + "x",
        "CPU Affinity: x" + " " * 900_000 + "y",
        " 1  x" + " " * 900_000 + "y",
        "numa_mode: x" + " " * 900_000 + "y",
        "> " * 450_000 + "x",
        "NUMA cell(s):" + "\t" * 900_000 + "x",
        "node 0 size:" + " " * 900_000 + "x",
    ],
    ids=lambda line: line[:12],
)
def test_long_runs_of_blanks(line: str) -> None:
    """A line of a million blanks takes no longer than any other of its length, whoever reads it."""
    readers: tuple[Callable[[bytes, str], object], ...] = (
        recognise,
        parse_cpuinfo,
        parse_nodeinfo,
        parse_numactl,
        parse_lscpu_summary,
        read_vcpuinfo,
        read_vcpupin,
        read_threadpin,
        read_numatune,
        read_matrices,
    )
    with no_more_than(1000):
        for read in readers:
            with suppress(InputError):
                read(f"processor: 0\n{line}\n".encode(), "long.txt")


def test_properties_of_openstack_without_end() -> None:
    """Text of properties that is none is passed over in linear time; pairs behind it are still read."""
    text = "a=', " * 20_000 + " " * 200_000 + "b b " * 50_000
    with no_more_than(1000):
        assert properties(f"{text}, hw:cpu_policy='dedicated'")["hw:cpu_policy"] == "dedicated"
