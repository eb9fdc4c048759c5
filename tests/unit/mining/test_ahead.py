"""One item ahead: order, bound, errors, interrupts, and an end in every case."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from hemometric.mining import Ahead


def until(condition: Callable[[], bool]) -> None:
    """Wait for what must come; the test's own time limit ends it if it does not."""
    while not condition():
        time.sleep(0.001)


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ahead"]


def test_items_come_in_order_from_another_thread() -> None:
    where = set()

    def make(step: int) -> int | None:
        where.add(threading.current_thread())
        return None if step == 5 else step * step

    with Ahead(make, 3, 8) as ahead:
        assert list(ahead) == [9, 16, None, 36, 49]
        assert list(ahead) == []
    assert len(where) == 1
    assert threading.current_thread() not in where
    assert not threads()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere priorities are of processes")
def test_its_thread_and_those_it_starts_give_way_to_the_users() -> None:
    def niceness(_: int = 0) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def make(step: int) -> list[int]:
        with ThreadPoolExecutor(1) as pool:
            return [niceness(), pool.submit(niceness).result()]

    before = niceness()
    with Ahead(make, 0, 2) as ahead:
        assert list(ahead) == [[before + 5, before + 5]] * 2
    assert niceness() == before


def test_an_empty_range_is_empty() -> None:
    assert list(Ahead(lambda step: step, 4, 4)) == []


@pytest.mark.parametrize("depth", [1, 3])
def test_it_runs_ahead_while_an_item_is_in_use_and_no_further_than_its_depth(depth: int) -> None:
    made: list[int] = []
    with Ahead(lambda step: made.append(step) or step, 0, None, depth=depth) as ahead:
        for step in range(5):
            assert next(ahead) == step
            until(lambda: len(made) == step + 1 + depth)  # noqa: B023
            time.sleep(0.01)
            assert made == list(range(step + 1 + depth))


def test_only_waiting_counts_as_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    asked_for = threading.Event()

    def clock() -> float:
        read = now_s
        if threading.current_thread() is threading.main_thread():
            asked_for.set()
        return read

    def make(step: int) -> int:
        nonlocal now_s
        asked_for.wait()  # the main thread reads the clock when it asks for an item
        now_s += 7.0
        return step

    monkeypatch.setattr("hemometric.mining.ahead.time", SimpleNamespace(perf_counter=clock))
    with Ahead(make, 0, 2) as ahead:
        assert ahead.stalled_s == 0.0
        assert next(ahead) == 0
        until(lambda: ahead._shelf.finished)
        waited_s = ahead.stalled_s
        assert waited_s >= 7.0
        now_s += 1000.0  # in use: the next item is already there
        assert next(ahead) == 1
        assert ahead.stalled_s == waited_s


def test_making_is_timed_and_stands_still_meanwhile() -> None:
    released = threading.Semaphore(0)
    with Ahead(lambda step: released.acquire() and step, 0, None) as ahead:
        until(lambda: ahead.making_s > 0.0)  # the first is being made
        released.release()
        until(lambda: len(ahead._shelf.items) == 1)
        first_s = ahead.making_s
        time.sleep(0.01)
        assert ahead.making_s == first_s  # nothing is being made
        next(ahead)
        until(lambda: ahead.making_s > first_s)
        released.release()


def test_nothing_is_made_while_a_quiet_item_is_in_use_and_one_more_is_held() -> None:
    made: list[int] = []
    with Ahead(lambda step: made.append(step) or step, 0, None, quiet=lambda step: step == 2) as ahead:
        for taken, then_made in ((0, 1), (1, 3), (2, 3), (3, 4), (4, 5)):
            assert next(ahead) == taken
            until(lambda: len(made) == then_made + 1)  # noqa: B023
            time.sleep(0.01)
            assert made == list(range(then_made + 1))


def test_an_error_is_raised_in_its_items_place_and_ends_the_thread() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ZeroDivisionError("in step 2")
        return step

    ahead = Ahead(make, 0, None, depth=5)
    until(lambda: ahead._shelf.finished)
    assert [next(ahead), next(ahead)] == [0, 1]
    with pytest.raises(ZeroDivisionError, match="in step 2") as caught:
        next(ahead)
    assert "make" in [frame.name for frame in caught.traceback]
    assert list(ahead) == []
    assert not threads()


def test_stop_iteration_does_not_end_a_run_in_silence() -> None:
    ahead = Ahead(lambda step: next(iter(())), 0, None)
    with pytest.raises(RuntimeError, match="StopIteration"):
        next(ahead)


def test_even_an_exit_is_passed_on() -> None:
    def make(step: int) -> int:
        raise SystemExit(3)

    with pytest.raises(SystemExit, match="3"):
        next(Ahead(make, 0, None))


def test_close_ends_the_thread_wherever_it_is_and_twice_is_fine() -> None:
    waiting = Ahead(lambda step: step, 0, None)
    until(lambda: len(waiting._shelf.items) == 1)
    waiting.close()
    waiting.close()
    released = threading.Event()
    making = Ahead(lambda step: released.wait() and step, 0, None)
    threading.Timer(0.05, released.set).start()
    making.close()
    assert not threads()
    assert list(waiting) == list(making) == []


def test_a_make_that_hangs_is_left_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()
    ahead = Ahead(lambda step: released.wait(), 0, None)
    ahead.close(timeout_s=0.01)
    assert "still being made" in caplog.text
    released.set()
    ahead.close()
    assert not threads()


def test_an_iterator_that_nobody_holds_ends_and_frees_its_items() -> None:
    class Item:
        pass

    alive: list[weakref.ref[Item]] = []

    def make(step: int) -> Item:
        item = Item()
        alive.append(weakref.ref(item))
        return item

    ahead = Ahead(make, 0, None)
    next(ahead)
    until(lambda: len(alive) == 2)
    assert len(threads()) == 1
    del ahead
    gc.collect()
    until(lambda: not threads())
    gc.collect()
    assert [reference() for reference in alive] == [None, None]


def test_a_waiting_thread_keeps_no_item_alive() -> None:
    class Item:
        pass

    made: list[weakref.ref[Item]] = []

    def make(step: int) -> Item:
        item = Item()
        made.append(weakref.ref(item))
        return item

    with Ahead(make, 0, 2) as ahead:
        until(lambda: len(made) == 1)
        next(ahead)  # taken and dropped
        until(lambda: len(made) == 2 and ahead._shelf.finished)
        gc.collect()
        assert made[0]() is None
    with Ahead(make, 0, None, depth=2) as held:
        until(lambda: len(held._shelf.items) == 2)
        with held._shelf.changed:  # no place becomes free meanwhile
            held._shelf.items.pop()
            newest = made[-1]
            until(lambda: newest() is None)


def test_an_interrupt_while_waiting_loses_nothing() -> None:
    released = threading.Event()
    ahead = Ahead(lambda step: released.wait() and step, 0, None)

    def interrupt(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        with pytest.raises(KeyboardInterrupt):
            next(ahead)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    released.set()
    assert [next(ahead), next(ahead)] == [0, 1]
    ahead.close()
    assert not threads()


def test_at_least_one_ahead() -> None:
    with pytest.raises(ValueError, match="depth is 0"):
        Ahead(lambda step: step, 0, None, depth=0)
