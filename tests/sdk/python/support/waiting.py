"""Waiting for conditions, always with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Generous: it only decides how long a broken server takes to be reported as such.
DEADLINE_S = 30.0


def eventually(condition: Callable[[], T], *, within: float = DEADLINE_S,
               what: str | Callable[[], str] = "the condition") -> T:
    """Polls until `condition()` is truthy and returns that value; fails after `within` seconds, saying `what`."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, (
            f"{what if isinstance(what, str) else what()} did not come true within {within:g} s; last value: {value!r}")
        time.sleep(0.01)
