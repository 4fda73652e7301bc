"""An append-only file of JSON lines: what really happened, written outside the server it is checked against."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Ledger:
    """Appends whole lines, from any thread or process. A killed writer leaves at most one torn line at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, **entry: Any) -> None:
        os.write(self._file, json.dumps(entry).encode() + b"\n")

    def close(self) -> None:
        os.close(self._file)

    @staticmethod
    def read(path: Path) -> Iterator[dict[str, Any]]:
        """Every whole line."""
        for line in path.read_bytes().split(b"\n"):
            try:
                yield json.loads(line)
            except ValueError:
                continue
