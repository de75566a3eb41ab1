"""A tar archive as a tree of small text files, read in one pass, without unpacking to disk.

The reader is placer's own: it stops at its limits while it unpacks, never follows a link, raises one kind of error
whatever the bytes, and takes a fraction of the time that `tarfile` takes for the 16,000 members of a large /sys.
"""

from __future__ import annotations

import bz2
import lzma
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from placer.errors import InputError
from placer.read.hosts.tree import MAX_ENTRIES, MAX_SMALL_FILE_BYTES, as_text

MAX_UNPACKED_BYTES = 128 * 1024 * 1024
"""An archive that unpacks to more is refused; the /sys of a server of 256 CPUs, file by file, has a tenth of it."""
MAX_MEMBER_BYTES = 64 * 1024 * 1024
"""A larger member is refused as soon as its header is read."""

_BLOCK = 512
_CHUNK = 1 << 20
_XZ_MEMORY_BYTES = 128 * 1024 * 1024
_MAX_HOPS = 8
_GZIP = b"\x1f\x8b"
_MULTIPLE = (b"BZh", b"\xfd7zXZ\x00")
_REGULAR = (b"0", b"\0", b"7")
_EXTENSIONS = (b"L", b"K", b"x", b"g")
_WITHOUT_CONTENT = (b"1", b"2", b"3", b"4", b"5", b"6")
_END = b"\0" * _BLOCK
# name, size, checksum, kind, link, magic, prefix
_FIELDS = struct.Struct("100s24x12s12x8sc100s6s82x155s12x")
# What the readers ask for; the rest of an archive is passed over.
_WANTED = re.compile(
    r"(?:^|/)(?:(?:cpu|node)/(?:[a-z_]+$|cpu\d+/|node\d+/)|proc/(?:cpuinfo|meminfo|hwloc-nofile-info|driver/nvidia/gpus/)"
    r"|kernel/mm/hugepages/|bus/dax/devices/|dax\d+\.\d+/target_node$|devices/virtual/misc/kvm"
    r"|devices/pci[^/]*/(?:.*/)?(?:class|vendor|numa_node|physfn)$)"
)
_PAX_RECORD = re.compile(rb"(\d{1,9}) ([^=]+)=")


@dataclass(slots=True)
class _Header:
    name: str
    link: str
    kind: bytes
    size: int


class ArchiveTree:
    """The wanted text files of a tar archive, plain or packed with gzip, bzip2 or xz, held in memory.

    Raises
    ------
    InputError
        Not an archive, damaged, cut off, above the limits, or with a member whose name leads out of it.
    """

    def __init__(self, data: bytes, source: str) -> None:
        self._source = source
        self._files: dict[str, bytes] = {}
        self._links: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}
        for count, (header, content) in enumerate(_members(_unpack(data, source), source), start=1):
            if count > MAX_ENTRIES:
                raise InputError(f"the archive has more than {MAX_ENTRIES} members", file=source)
            self._add(header, content)
        if not self._names:
            raise InputError("the archive is empty", file=source)

    @property
    def source(self) -> str:
        """What messages call the archive."""
        return self._source

    def names(self, path: str) -> frozenset[str]:
        """Return the names of the members in a directory."""
        return frozenset(self._names.get(path.strip("/"), ()))

    def text(self, path: str) -> str | None:
        """Return the content of a member; links inside the archive are resolved by name, others are refused."""
        data = self._files.get(path)
        if data is None:
            data = self._files.get(self._resolved(path.strip("/")))
        return None if data is None else as_text(data)

    def _resolved(self, path: str) -> str:
        """Return the path with every link in it replaced by what it names."""
        for _ in range(_MAX_HOPS):
            parts = path.split("/")
            for depth in range(1, len(parts) + 1):
                head = "/".join(parts[:depth])
                if head in self._links:
                    target = self._links[head]
                    if target.startswith("../"):
                        raise InputError(
                            f"the member {head} is a link that leads out of the archive", file=self._source
                        )
                    path = "/".join([target, *parts[depth:]])
                    break
            else:
                return path
        raise InputError(f"the member {path[:80]} is a link to itself", file=self._source)

    def _add(self, header: _Header, content: bytes | bytearray) -> None:
        parts = [part for part in header.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise InputError(f"the member {header.name[:80]!r} leads out of the archive", file=self._source)
        path = "/".join(parts)
        if not path or (header.kind != b"5" and not _WANTED.search(path)):
            return
        if header.kind in _REGULAR:
            if header.size > MAX_SMALL_FILE_BYTES:
                raise InputError(
                    f"the member {path[:80]!r} has {header.size} bytes: no file of /sys has", file=self._source
                )
            self._files[path] = bytes(content)
        elif header.kind == b"2":
            self._links[path] = _resolve("/".join(parts[:-1]), header.link)
        elif header.kind == b"1":
            self._links[path] = _resolve("", header.link)
        self._list(path)

    def _list(self, path: str) -> None:
        """Enter a member, and the folders above it, into the folders' lists of names."""
        while path:
            folder, _, name = path.rpartition("/")
            names = self._names.setdefault(folder, set())
            if name in names:
                return
            names.add(name)
            path = folder


def regular_members(data: bytes, source: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each regular file of a tar archive; links and devices are passed over.

    Raises
    ------
    InputError
        As `ArchiveTree`.
    """
    for count, (header, content) in enumerate(_members(_unpack(data, source), source), start=1):
        if count > MAX_ENTRIES:
            raise InputError(f"the archive has more than {MAX_ENTRIES} members", file=source)
        parts = [part for part in header.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise InputError(f"the member {header.name[:80]!r} leads out of the archive", file=source)
        if parts and header.kind in _REGULAR:
            yield "/".join(parts), bytes(content)


def _resolve(folder: str, link: str) -> str:
    """Return the path that a link names inside the archive, or one that begins with ``..`` where it leads out."""
    if link.startswith("/"):
        return "../" + link.strip("/")
    parts: list[str] = [part for part in folder.split("/") if part]
    for part in link.split("/"):
        if part == "..":
            if not parts:
                return "../" + link
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _unpack(data: bytes, source: str) -> bytes | bytearray:
    """Return the unpacked bytes; stops as soon as they exceed the limit, so a bomb never goes off."""
    if not data.startswith((*_MULTIPLE, _GZIP)):
        if len(data) > MAX_UNPACKED_BYTES:
            raise InputError(f"the archive has more than {MAX_UNPACKED_BYTES} bytes", file=source)
        return data
    unpacked = bytearray()
    try:
        for chunk in _gunzipped(data) if data.startswith(_GZIP) else _decompressed(data):
            unpacked += chunk
            if len(unpacked) > MAX_UNPACKED_BYTES:
                raise InputError(f"the archive unpacks to more than {MAX_UNPACKED_BYTES} bytes", file=source)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
        raise InputError(f"the archive is damaged: {error}", file=source) from None
    return unpacked


def _decompressed(data: bytes) -> Iterator[bytes]:
    """Yield what bzip2 or xz packed; archives of several packed streams are one after the other."""
    magic = next(known for known in _MULTIPLE if data.startswith(known))
    while data.startswith(magic):
        unpacker = bz2.BZ2Decompressor() if magic == b"BZh" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)
        fed = data
        while not unpacker.eof:
            if unpacker.needs_input and not fed:
                raise EOFError("it is cut off")
            yield unpacker.decompress(fed, _CHUNK)
            fed = b""
        data = unpacker.unused_data


def _gunzipped(data: bytes) -> Iterator[bytes]:
    while data.startswith(_GZIP):
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            if not data:
                raise EOFError("it is cut off")
            yield unpacker.decompress(data, _CHUNK)
            data = unpacker.unconsumed_tail
        data = unpacker.unused_data


def _members(data: bytes | bytearray, source: str) -> Iterator[tuple[_Header, bytes | bytearray]]:
    """Yield each member's header and content, with the long names that GNU and POSIX archives put before it."""
    name = link = None
    size: int | None = None
    at = 0
    while len(data) - at >= _BLOCK:
        block = data[at : at + _BLOCK]
        if block == _END:
            return
        header = _header(block, source)
        at += _BLOCK
        if header.kind in _WITHOUT_CONTENT:
            # Whatever their headers say.
            header.size = 0
        elif size is not None and header.kind not in _EXTENSIONS:
            header.size = size
        if header.size > MAX_MEMBER_BYTES:
            raise InputError(
                f"the member {header.name[:80]!r} has {header.size} bytes: no file of /sys has",
                file=source,
                cure="leave out what is no text, such as the resource files of PCI devices",
            )
        content = data[at : at + header.size]
        at += header.size + -header.size % _BLOCK
        if at > len(data):
            raise InputError("the archive is cut off", file=source)
        if header.kind == b"L":
            name = _decode(content)
        elif header.kind == b"K":
            link = _decode(content)
        elif header.kind == b"x":
            records = _pax(content)
            name, link = records.get("path", name), records.get("linkpath", link)
            size = _decimal(records.get("size"), source)
        elif header.kind != b"g":
            header.name, header.link = name or header.name, link or header.link
            yield header, content
            name = link = size = None
    if data[at:].strip(b"\0"):
        raise InputError("the archive is cut off", file=source)


def _header(block: bytes | bytearray, source: str) -> _Header:
    name, size, check, kind, link, magic, prefix = _FIELDS.unpack(block)
    # The low half of Adler-32 is the sum of the bytes plus 1, modulo 65521: the header's checksum in one step.
    # The checksum itself counts as eight blanks.
    told = (1 + _octal(check, source) + sum(check) - 8 * 32) % 65521
    if zlib.adler32(block) & 0xFFFF != told:
        raise InputError("this is no tar archive, or it is damaged: a header's checksum is wrong", file=source)
    path = _decode(name)
    if magic == b"ustar\0" and prefix[0]:
        path = f"{_decode(prefix)}/{path}"
    return _Header(name=path, link=_decode(link) if link[0] else "", kind=kind, size=_octal(size, source))


def _octal(digits: bytes, source: str) -> int:
    if digits[0] & 0x80:
        return int.from_bytes(digits[1:], "big")
    try:
        value = int(digits.strip(b" \0") or b"0", 8)
    except ValueError:
        value = -1
    if value < 0:
        raise InputError("the archive is damaged: a header holds no number where one belongs", file=source)
    return value


def _decimal(text: str | None, source: str) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InputError("the archive is damaged: a member's size is no number", file=source)
    return int(text)


def _decode(data: bytes | bytearray) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", errors="replace")


def _pax(data: bytes | bytearray) -> dict[str, str]:
    records: dict[str, str] = {}
    at = 0
    while match := _PAX_RECORD.match(data, at):
        end = at + int(match[1])
        if end <= match.end() or end > len(data):
            break
        records[match[2].decode("ascii", errors="replace")] = _decode(data[match.end() : end - 1])
        at = end
    return records
