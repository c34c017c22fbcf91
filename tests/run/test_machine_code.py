"""Claim: several threads may ask for LLVM's functions at once, and one at a time writes them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from mergelang.backends import machine_code, ranks
from mergelang.backends.machine_loop import bracketing, summing

THREADS = 8


def test_code_is_written_once_by_one_thread_at_a_time() -> None:
    active, most, calls, start = [0], [0], list[str](), threading.Barrier(THREADS)

    def make(name: str) -> str:
        active[0] += 1
        most[0] = max(most[0], active[0])
        calls.append(name)
        time.sleep(0.01)
        active[0] -= 1
        return name.upper()

    makers = machine_code.once(make), machine_code.once(make)

    def ask(turn: int) -> str:
        start.wait()
        return makers[turn % 2]("ab"[turn // 2 % 2])

    with ThreadPoolExecutor(THREADS) as threads:
        assert list(threads.map(ask, range(THREADS))) == list("AABBAABB")
    assert most == [1]
    assert sorted(calls) == list("aabb")  # each maker its own


def test_what_workers_ask_for_is_written_so() -> None:
    loops = (summing, "F32"), (bracketing, "F32")
    for make, name in ((ranks._sorting, "keys"), (ranks._counting, "ranks"), *loops):
        assert make(name) is make(name)
        # Nobody else writes meanwhile, and what is there needs no writing.
        with machine_code.WRITING, ThreadPoolExecutor(1) as thread:
            assert thread.submit(make, name).result(timeout=5) is make(name)
