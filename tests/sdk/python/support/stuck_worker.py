"""A worker process that takes the activity `hold`, says so by creating a file, and never finishes it.

Usage: stuck_worker.py ADDRESS FILE. It ends when it is killed, or by itself after two minutes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from durabletask import task

from support.hub import Hub

LIVES_AT_MOST_S = 120.0


def main(address: str, started: Path) -> None:
    def hold(_: task.ActivityContext, __: object) -> None:
        started.touch()
        time.sleep(LIVES_AT_MOST_S)

    def rescue(ctx: task.OrchestrationContext, _: object):
        return (yield ctx.call_activity(hold))

    hub = Hub(address)
    hub.worker(orchestrators=[rescue], activities=[hold])
    time.sleep(LIVES_AT_MOST_S)
    hub.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
