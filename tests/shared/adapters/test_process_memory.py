"""Process memory: all threads share one arena, and the garbage collector skips long-lived objects."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys, threading
if sys.argv[1] == "app":
    from shared.adapters import process_memory
    process_memory.use_one_heap()
together = threading.Barrier(9)
def work():
    kept = [bytearray(5_000) for _ in range(200)]
    together.wait()
    together.wait()
for _ in range(8):
    threading.Thread(target=work).start()
together.wait()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
together.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the option is glibc's")
def test_threads_share_one_pool_of_free_memory() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}

    def heaps(what: str) -> int:
        command = [sys.executable, "-c", PROGRAM, what]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        return done.stdout.count("<heap nr=")

    assert heaps("app") == 1
    assert heaps("without") > 1


def test_garbage_collector_skips_objects_created_by_imports() -> None:
    program = """
import gc
import function_app
assert gc.isenabled()
assert gc.get_freeze_count() > 100_000, gc.get_freeze_count()
assert len(gc.get_objects()) < 1_000, len(gc.get_objects())
class Cycle: pass
for _ in range(20_000):
    one = Cycle()
    one.itself = one
assert gc.get_stats()[0]["collected"] > 0
"""
    subprocess.run([sys.executable, "-c", program], timeout=120, check=True)
