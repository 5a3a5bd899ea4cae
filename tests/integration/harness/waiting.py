"""Waiting for events with a deadline. Nothing here or in a test sleeps to let things happen."""

from __future__ import annotations

import functools
import os
import time
from typing import Callable, TypeVar

T = TypeVar("T")

POLL_S = 0.01


@functools.cache
def is_sanitised(binary: str) -> bool:
    """Whether the binary carries a sanitizer: it is slower, and its memory is not ours."""
    with open(binary, "rb") as file:
        content = file.read()
    return b"__asan_init" in content or b"__tsan_init" in content or b"__ubsan_handle" in content


def deadline_scale() -> float:
    """How much longer than usual things may take; set once by conftest for slow binaries."""
    return float(os.environ.get("CACHETUNNEL_TEST_DEADLINE_SCALE", "1"))


def wait_for(condition: Callable[[], T], what: str, timeout: float = 10) -> T:
    """Polls until `condition` gives something true, and returns it."""
    deadline = time.monotonic() + timeout * deadline_scale()
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what}")
        time.sleep(POLL_S)


def wait_until_still(measure: Callable[[], T], still_s: float = 0.3, timeout: float = 20) -> T:
    """Returns a measurement once it has not changed for `still_s`: a blocked transfer, say."""
    deadline = time.monotonic() + timeout * deadline_scale()
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < still_s:
        time.sleep(POLL_S)
        now = measure()
        if now != value:
            value, since = now, time.monotonic()
        if time.monotonic() > deadline:
            raise AssertionError(f"still changing after {timeout} s")
    return value
