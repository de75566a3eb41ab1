"""Work on many hosts: side by side, and no host that hangs or fails keeps the others."""

from __future__ import annotations

import _thread
import threading
import time

import pytest

from placer.live.connect import HostError
from placer.live.many_hosts import Beat, GivenUpError, on_each_host

GUARD_S = 600.0
"""What a test that hangs waits for; no test that passes waits so long, however slow the machine."""


def test_hosts_are_asked_at_the_same_time() -> None:
    """Four hosts that wait for each other all end."""
    barrier = threading.Barrier(4, timeout=GUARD_S)
    found = on_each_host({f"h{number}": lambda _beat: barrier.wait() for number in range(4)})
    assert sorted(found.results.values()) == [0, 1, 2, 3]
    assert list(found.results) == ["h0", "h1", "h2", "h3"]


def test_no_more_hosts_at_once_than_allowed() -> None:
    """With two at once, never three run."""
    now, most, lock = 0, 0, threading.Lock()

    def work(_beat: Beat) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1

    assert len(on_each_host({f"h{number}": work for number in range(7)}, at_once=2).results) == 7
    assert most == 2


def test_a_host_that_fails_is_reported_and_the_rest_goes_on() -> None:
    """Its error is kept by its name."""

    def fail(_beat: Beat) -> int:
        raise HostError("no route to it")

    found = on_each_host({"a": fail, "b": lambda _beat: 7})
    assert found.results == {"b": 7}
    assert str(found.failures["a"]) == "no route to it"


def test_a_host_that_hangs_is_given_up_and_may_begin_nothing_more() -> None:
    """After the time limit it counts as failed; when it comes back it is told to stop."""
    release, told = threading.Event(), threading.Event()

    def hang(beat: Beat) -> int:
        release.wait(GUARD_S)
        try:
            beat()
        except GivenUpError:
            told.set()
            raise
        return 0

    # Were it waited for, this would not come back before it is released below.
    found = on_each_host({"slow": hang, "fast": lambda _beat: 1}, timeout_s=0.3)
    assert found.results == {"fast": 1}
    assert str(found.failures["slow"]).startswith("host 'slow': no answer for 0.3 s; see that the host is up")
    release.set()
    assert told.wait(GUARD_S)


def test_a_host_that_answers_now_and_then_is_not_given_up() -> None:
    """The limit is on silence, not on the whole work."""

    def steady(beat: Beat) -> int:
        for _ in range(8):
            time.sleep(1)
            beat.answered()
        return 1

    assert on_each_host({"a": steady}, timeout_s=6).results == {"a": 1}


def test_a_worker_may_ask_for_more_patience() -> None:
    """Moving memory takes minutes; connecting must not."""

    def patient(beat: Beat) -> int:
        beat.allow(GUARD_S)
        time.sleep(0.6)
        return 1

    assert on_each_host({"a": patient}, timeout_s=0.2).results == {"a": 1}


def test_a_fault_of_ours_is_not_taken_for_the_hosts() -> None:
    """What is no error of placer's tree is raised, once the other hosts are done."""
    done, failed = threading.Event(), threading.Event()

    def broken(_beat: Beat) -> int:
        failed.set()
        raise ZeroDivisionError

    def slow(_beat: Beat) -> int:
        failed.wait(GUARD_S)
        done.set()
        return 1

    with pytest.raises(ZeroDivisionError):
        on_each_host({"a": broken, "b": slow})
    assert done.is_set()


def test_an_interrupt_waits_for_what_was_begun() -> None:
    """After Ctrl-C a worker ends what it is at, and begins nothing more."""
    steps: list[str] = []
    begun = threading.Event()

    def work(beat: Beat) -> None:
        for number in range(1_000_000):
            beat()
            steps.append(f"begin {number}")
            begun.set()
            time.sleep(0.001)
            steps.append(f"end {number}")

    def interrupt() -> None:
        begun.wait(GUARD_S)
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        on_each_host({"a": work})
    assert steps[-1].startswith("end")
    assert 2 <= len(steps) < 2_000_000
