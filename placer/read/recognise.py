"""Tell what a file is by its content; names and endings mean nothing."""

from __future__ import annotations

import re
from enum import StrEnum

from placer.errors import InputError
from placer.read.others import name_of_other
from placer.read.text.text import as_utf_8, without_page_tags


class Format(StrEnum):
    """The kinds of files that placer reads."""

    CAPABILITIES = "libvirt capabilities XML"
    HWLOC = "hwloc XML"
    ARCHIVE = "tar archive"
    NUMACTL = "numactl --hardware text"
    LSCPU_PARSE = "lscpu -p text"
    LSCPU_JSON = "lscpu -J JSON"
    LSCPU_TABLE = "lscpu -e text"
    LSCPU_SUMMARY = "lscpu text"
    NODEINFO = "virsh nodeinfo text"
    CPUINFO = "/proc/cpuinfo text"
    MLC = "Intel MLC text"
    DOMAIN = "libvirt domain XML"
    VCPUINFO = "virsh vcpuinfo text"
    VCPUPIN = "virsh vcpupin text"
    THREADPIN = "virsh emulatorpin or iothreadinfo text"
    NUMATUNE = "virsh numatune text"
    QEMU = "QEMU command line"
    INVENTORY = "placer inventory"
    PLAN = "placer plan"

    @property
    def is_topology(self) -> bool:
        """Whether a file of this kind describes a host by itself."""
        return self in _TOPOLOGIES


_TOPOLOGIES = frozenset(
    {
        Format.CAPABILITIES,
        Format.HWLOC,
        Format.ARCHIVE,
        Format.NUMACTL,
        Format.LSCPU_PARSE,
        Format.LSCPU_JSON,
        Format.LSCPU_TABLE,
        Format.LSCPU_SUMMARY,
        Format.NODEINFO,
        Format.CPUINFO,
    }
)

HEAD_BYTES = 64 * 1024
"""How much of a file is looked at; only a plan's or an inventory's schema is looked for in all of it."""

_READ_BY = "placer show reads a host or a domain; placer import libvirt makes an inventory"
_ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_NO_BREAK_SPACE = "\u00a0".encode()
COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
"""How packed files begin."""
_XML_ROOT = re.compile(rb"(?:\s|<\?.*?\?>|<!--.*?-->|<![^>\[]*(?:\[.*?\]\s*)?>)*<([A-Za-z_][\w.-]*)", re.DOTALL)
_ROOTS = {
    b"capabilities": Format.CAPABILITIES,
    b"topology": Format.HWLOC,
    b"domain": Format.DOMAIN,
    b"domstatus": Format.DOMAIN,
    b"domainsnapshot": Format.DOMAIN,
}
_SCHEMA = re.compile(rb"""["']?schema["']?\s*:\s*["']?placer\.(inventory|plan)/v\d""")
_SCHEMA_WIDTH = 40
_OWN = b"placer."
_SCHEMAS = {b"inventory": Format.INVENTORY, b"plan": Format.PLAN}
_JSON_LSCPU = re.compile(rb"\s*\{\s*\"(?:lscpu|cpus)\"\s*:")
_YAML_INVENTORY = re.compile(rb"^(?:hosts|vms):", re.MULTILINE)
# Possessive: what it takes it keeps, or a line of quotes would be tried from every place in it.
_PREFIX = rb"^[ \t>|]*+"
# In this order: the text of one tool may quote a line of the next.
_TEXTS: tuple[tuple[re.Pattern[bytes], Format], ...] = tuple(
    (re.compile(_PREFIX + pattern, re.MULTILINE), kind)
    for pattern, kind in (
        (rb"available:[ \t]+\d+[ \t]+nodes?\b", Format.NUMACTL),
        (rb"node[ \t]+\d+[ \t]+(?:cpus|size):", Format.NUMACTL),
        (rb"NUMA cell\(s\):", Format.NODEINFO),
        (rb"VCPU:[ \t]+\d+", Format.VCPUINFO),
        (rb"VCPU:?[ \t]+CPU Affinity", Format.VCPUPIN),
        (rb"(?:emulator:|IOThread ID)[ \t]+CPU Affinity", Format.THREADPIN),
        (rb"numa_(?:mode|nodeset)[ \t]*:", Format.NUMATUNE),
        (rb"#[ \t]*CPU,", Format.LSCPU_PARSE),
        (rb"CPU(?:[ \t]+[A-Za-z0-9:@%]+)*[ \t]+(?:NODE|SOCKET|CORE|ONLINE)\b", Format.LSCPU_TABLE),
        (rb"Architecture:[ \t]", Format.LSCPU_SUMMARY),
        (rb".*Memory Latency Checker", Format.MLC),
        (rb"Numa node[ \t]+\d", Format.MLC),
        (rb"processor[ \t]*(?:\d+[ \t]*)?:", Format.CPUINFO),
        (rb"(?:\S*[/ \t])?(?:qemu-system-[\w-]+|qemu-kvm|kvm)[ \t\0]", Format.QEMU),
        (rb"(?:.*[ \t\0])?-(?:smp|numa)[ \t\0]", Format.QEMU),
    )
)


def recognise(data: bytes, source: str) -> Format:
    """Return what kind of file these bytes are.

    Raises
    ------
    InputError
        The file is empty or of no kind that placer reads.
    """
    head = data[:HEAD_BYTES]
    if not head.strip():
        raise InputError("the file is empty", file=source)
    if head.startswith(COMPRESSED) or head[257:262] == b"ustar":
        return Format.ARCHIVE
    text = _plain(head.removeprefix(b"\xef\xbb\xbf"))
    found = _xml(text) if text.lstrip()[:1] == b"<" else _text(data, text)
    if found is None:
        if (other := name_of_other(text)) is not None:
            read = "is read by an import alone" if other.imported else "placer does not read"
            raise InputError(f"this is {other.name}, which {read}", file=source, cure=other.cure)
        kinds = ", ".join(kind.value for kind in Format)
        raise InputError(
            "the content is of no kind that placer reads",
            file=source,
            cure=f"give one of: {kinds}; the text of a tool in English, as LC_ALL=C makes it",
        )
    return found


def name_of(data: bytes) -> tuple[str, str] | None:
    """Return what these bytes are, in words, and what reads them; None for placer's own, and what is not known."""
    try:
        kind = recognise(data, "")
    except InputError:
        text = _plain(data[:HEAD_BYTES])
        if (other := name_of_other(text)) is not None:
            return other.name, other.cure
        return ("XML", _READ_BY) if text.lstrip()[:1] == b"<" else None
    if kind in (Format.INVENTORY, Format.PLAN):
        return None
    return f"a {kind.value}" if kind in (Format.ARCHIVE, Format.QEMU) else kind.value, _READ_BY


def _plain(head: bytes) -> bytes:
    """Return the head without what terminals, mail programs and PowerShell add to text; `text_lines` does the same."""
    return without_page_tags(_ESCAPES.sub(b"", as_utf_8(head).replace(_NO_BREAK_SPACE, b" ")))


def _xml(text: bytes) -> Format | None:
    match = _XML_ROOT.match(text)
    return _ROOTS.get(match[1]) if match else None


def _schema(data: bytes) -> Format | None:
    """Return what a document of placer's own says it is; a plain search comes first, for it is far faster."""
    at = data.find(_OWN)
    while at >= 0:
        match = _SCHEMA.search(data, max(0, at - _SCHEMA_WIDTH), at + _SCHEMA_WIDTH)
        if match:
            return _SCHEMAS[match[1]]
        at = data.find(_OWN, at + len(_OWN))
    return None


def _text(data: bytes, text: bytes) -> Format | None:
    if _JSON_LSCPU.match(text):
        return Format.LSCPU_JSON
    # A plan's keys are sorted, so its schema may stand behind a hundred thousand VMs.
    schema = _schema(data if text.lstrip()[:1] == b"{" else text)
    if schema is not None:
        return schema
    for pattern, kind in _TEXTS:
        if pattern.search(text):
            return kind
    return Format.INVENTORY if _YAML_INVENTORY.search(text) else None
