"""Words, comma lists and sizes of a QEMU command line."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from placer.errors import InputError
from placer.read.domains.qemu_options import Option, command_words, fields, options, size_kib
from tests.effort import no_more_than


@given(st.lists(st.text(alphabet="ab $'\"\\\n,=-é", min_size=1), min_size=1))
def test_words_are_split_as_a_shell_does(words: list[str]) -> None:
    """Whatever words are quoted for a shell, they come back."""
    line = "kvm -x " + " ".join(map(shlex.quote, words))
    assert command_words(line.encode(), "a")[1:] == [word.replace("\\\n", " ") for word in words]


def test_the_program_and_what_stands_before_it_are_left_out() -> None:
    """Environment, log prefix and path are no options."""
    line = b"2024-01-01: starting\nLC_ALL=C PATH=/bin /usr/libexec/qemu-kvm -S -name a"
    assert command_words(line, "a") == ["-S", "-name", "a"]
    assert command_words(b"-smp 2", "a") == ["-smp", "2"]


def test_options_with_one_dash_or_two() -> None:
    """QEMU takes both; what follows is the value."""
    assert list(options(["-smp", "2", "--m", "1G"])) == [Option("smp", "2"), Option("m", "1G")]


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ("8", [("cpus", "8")]),
        ("8,sockets=2", [("cpus", "8"), ("sockets", "2")]),
        ("guest=a,,b,x=1", [("guest", "a,b"), ("x", "1")]),
        ("a,,,b=2", [("cpus", "a,"), ("b", "2")]),
        ("q35,usb", [("cpus", "q35"), ("usb", "on")]),
        ("n=0,n=2-3", [("n", "0"), ("n", "2-3")]),
        ('{"qom-type":"t","on":true,"n":[0,1]}', [("type", "t"), ("on", "on"), ("n", "0"), ("n", "1")]),
        ("", []),
    ],
)
def test_fields(value: str, pairs: list[tuple[str, str]]) -> None:
    """Comma lists and JSON give the same pairs; doubled commas belong to the value."""
    assert fields(value, "cpus", "a") == pairs


@pytest.mark.parametrize(
    ("text", "bare", "kib"), [("4096", 1024, 4 << 20), ("4G", 1024, 4 << 20), ("1048576", None, 1024), ("3k", None, 3)]
)
def test_sizes(text: str, bare: int | None, kib: int) -> None:
    """A bare number is what the option says it is, else bytes."""
    assert size_kib(text, "-m", "a", bare_kib=bare) == kib


@pytest.mark.parametrize("line", ["-smp " + "1" * 1_900_000, "-smp " + "," * 1_900_000, "-object " + "{" * 1_900_000])
def test_long_words_take_no_time(line: str) -> None:
    """Splitting is linear: the longest line that Linux passes is split in less than a second."""
    with no_more_than(500):
        words = command_words(line.encode(), "a")
    assert len(words) == 2


def test_refuses_more_than_linux_passes() -> None:
    """A command line of ten megabytes is none."""
    with pytest.raises(InputError, match="more than"):
        command_words(b"-smp " * 2_000_000, "a")
