"""A tar archive as a tree of small text files, read in one pass, without unpacking to disk.

The reader is placer's own, for three reasons: it stops at its limits while it unpacks, it never follows a link, and
an archive of 16,000 members of /sys takes a tenth of the time that `tarfile` takes.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from placer.errors import InputError
from placer.read.tree import MAX_ENTRIES, MAX_SMALL_FILE_BYTES, as_text

MAX_UNPACKED_BYTES = 192 * 1024 * 1024
"""An archive that unpacks to more is refused; a whole /sys of a large server, gathered file by file, has half of it."""
MAX_MEMBER_BYTES = 64 * 1024 * 1024
"""A larger member is refused as soon as its header is read."""

_BLOCK = 512
_CHUNK = 1 << 20
_XZ_MEMORY_BYTES = 128 * 1024 * 1024
_MAX_NAME_BYTES = 64 * 1024
_MAX_HOPS = 8
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
        stream = _Stream(data, source)
        for count, header in enumerate(_members(stream, source), start=1):
            if count > MAX_ENTRIES:
                raise InputError(f"the archive has more than {MAX_ENTRIES} members", file=source)
            self._add(header, stream)
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

    def _add(self, header: _Header, stream: _Stream) -> None:
        parts = [part for part in header.name.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise InputError(f"the member {header.name[:80]!r} leads out of the archive", file=self._source)
        path = "/".join(parts)
        wanted = bool(path) and _WANTED.search(path) is not None
        if header.kind in (b"0", b"\0", b"7") and wanted:
            if header.size > MAX_SMALL_FILE_BYTES:
                raise InputError(
                    f"the member {path[:80]!r} has {header.size} bytes: no file of /sys has", file=self._source
                )
            self._files[path] = stream.padded(header.size)
        else:
            stream.skip(header.size)
        if header.kind == b"2" and wanted:
            self._links[path] = _resolve("/".join(parts[:-1]), header.link)
        elif header.kind == b"1" and wanted:
            self._links[path] = _resolve("", header.link)
        if wanted or header.kind == b"5":
            self._list(parts)

    def _list(self, parts: list[str]) -> None:
        for depth in range(len(parts), 0, -1):
            parent = "/".join(parts[: depth - 1])
            names = self._names.setdefault(parent, set())
            if parts[depth - 1] in names:
                return
            names.add(parts[depth - 1])


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


class _Stream:
    """Sequential access to unpacked bytes, at most `MAX_UNPACKED_BYTES` of them."""

    def __init__(self, data: bytes, source: str) -> None:
        self._chunks = _unpacked(data)
        self._source = source
        self._buffer = b""
        self._at = 0
        self._total = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer only at the end."""
        while len(self._buffer) - self._at < size:
            chunk = self._next()
            if not chunk:
                break
            self._buffer = self._buffer[self._at :] + chunk
            self._at = 0
        part = self._buffer[self._at : self._at + size]
        self._at += len(part)
        return part

    def padded(self, size: int) -> bytes:
        """Return a member's content and pass over the filling up to the next block."""
        data = self.read(size)
        filling = -size % _BLOCK
        if len(data) < size or len(self.read(filling)) < filling:
            raise InputError("the archive is cut off", file=self._source)
        return data

    def skip(self, size: int) -> None:
        """Pass over a member's content; nothing of it is kept."""
        if size > MAX_MEMBER_BYTES:
            raise InputError(
                f"a member of the archive has {size} bytes: no file of /sys has",
                file=self._source,
                cure="leave out what is no text, such as the resource files of PCI devices",
            )
        left = size + -size % _BLOCK
        while left > 0:
            here = min(left, len(self._buffer) - self._at)
            self._at += here
            left -= here
            if left:
                self._buffer, self._at = self._next(), 0
                if not self._buffer:
                    raise InputError("the archive is cut off", file=self._source)

    def _next(self) -> bytes:
        try:
            chunk = next(self._chunks, b"")
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            raise InputError(f"the archive is damaged: {error}", file=self._source) from None
        self._total += len(chunk)
        if self._total > MAX_UNPACKED_BYTES:
            raise InputError(f"the archive unpacks to more than {MAX_UNPACKED_BYTES} bytes", file=self._source)
        return chunk


def _unpacked(data: bytes) -> Iterator[bytes]:
    """Yield the unpacked bytes in pieces; archives of several packed streams are one after the other."""
    if data.startswith(b"\x1f\x8b"):
        yield from _gunzipped(data)
    elif data.startswith((b"BZh", b"\xfd7zXZ\x00")):
        magic = data[:3]
        while data.startswith(magic):
            unpacker = bz2.BZ2Decompressor() if magic == b"BZh" else lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)
            fed = data
            while not unpacker.eof:
                if unpacker.needs_input and not fed:
                    raise EOFError("it is cut off")
                yield unpacker.decompress(fed, _CHUNK)
                fed = b""
            data = unpacker.unused_data
    else:
        for start in range(0, len(data), _CHUNK):
            yield data[start : start + _CHUNK]


def _gunzipped(data: bytes) -> Iterator[bytes]:
    while data.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(wbits=31)
        while not unpacker.eof:
            if not data:
                raise EOFError("it is cut off")
            yield unpacker.decompress(data, _CHUNK)
            data = unpacker.unconsumed_tail
        data = unpacker.unused_data


def _members(stream: _Stream, source: str) -> Iterator[_Header]:
    """Yield the members; the caller takes or passes over each one's content before it asks for the next."""
    name = link = None
    size = None
    while True:
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            if block.strip(b"\0"):
                raise InputError("the archive is cut off", file=source)
            return
        if not block.strip(b"\0"):
            return
        header = _header(block, source)
        if header.kind in (b"L", b"K", b"x"):
            if header.size > _MAX_NAME_BYTES:
                raise InputError(f"the name of a member has {header.size} bytes", file=source)
            extra = stream.padded(header.size)
            if header.kind == b"L":
                name = _decode(extra)
            elif header.kind == b"K":
                link = _decode(extra)
            else:
                records = _pax(extra)
                name, link = records.get("path", name), records.get("linkpath", link)
                size = _decimal(records.get("size"), source)
            continue
        if header.kind == b"g":
            stream.skip(header.size)
            continue
        header.name, header.link = name or header.name, link or header.link
        header.size = header.size if size is None else size
        if header.kind not in (b"0", b"\0", b"7"):
            # Links, folders and devices have no content, whatever their header says, except what tar keeps of its own.
            header.size = 0 if header.kind in (b"1", b"2", b"3", b"4", b"5", b"6") else header.size
        yield header
        name = link = size = None


def _header(block: bytes, source: str) -> _Header:
    check = sum(block) - sum(block[148:156]) + 8 * 32
    if _octal(block[148:156], source) != check:
        raise InputError("this is no tar archive, or it is damaged: a header's checksum is wrong", file=source)
    name = _decode(block[:100])
    if block[257:263] == b"ustar\0" and block[345]:
        name = f"{_decode(block[345:500])}/{name}"
    return _Header(name=name, link=_decode(block[157:257]), kind=block[156:157], size=_octal(block[124:136], source))


def _octal(digits: bytes, source: str) -> int:
    if digits[0] & 0x80:
        return int.from_bytes(digits[1:], "big")
    text = digits.strip(b" \0")
    if not re.fullmatch(rb"[0-7]*", text):
        raise InputError("the archive is damaged: a header holds no number where one belongs", file=source)
    return int(text or b"0", 8)


def _decimal(text: str | None, source: str) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise InputError("the archive is damaged: a member's size is no number", file=source)
    return int(text)


def _decode(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", errors="surrogateescape")


def _pax(data: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    at = 0
    while match := _PAX_RECORD.match(data, at):
        end = at + int(match[1])
        if end <= match.end() or end > len(data):
            break
        records[match[2].decode("ascii", errors="replace")] = _decode(data[match.end() : end - 1])
        at = end
    return records
