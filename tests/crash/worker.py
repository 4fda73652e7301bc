"""The worker process of the crash loop: the official SDK, and one activity that leaves a trace.

Usage: worker.py ADDRESS LEDGER. It ends when its standard input does, so it never outlives the loop.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import time
import uuid
from pathlib import Path

from durabletask import task
from durabletask.worker import ConcurrencyOptions

from ledger import Ledger
from shapes import ALL
from support.hub import Hub, quick_reconnect


def main(address: str, ledger_path: Path) -> None:
    logging.getLogger("scenario.worker").setLevel(logging.CRITICAL)
    ledger = Ledger(ledger_path)

    def effect(ctx: task.ActivityContext, given: dict) -> dict:
        nonce = uuid.uuid4().hex
        ledger.append(instance=ctx.orchestration_id, key=given["key"], nonce=nonce)
        if random.random() < 0.1:
            time.sleep(random.uniform(0.01, 0.1))
        return {"number": given["number"], "nonce": nonce}

    hub = Hub(address)
    hub.worker(orchestrators=ALL, activities=[effect], **quick_reconnect(),
               concurrency_options=ConcurrencyOptions(maximum_thread_pool_workers=16))
    sys.stdin.read()
    # No farewell: what is in hand is redelivered, which is part of what is tested.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
