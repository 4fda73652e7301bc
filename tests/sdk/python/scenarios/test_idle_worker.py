"""A worker with nothing to do stays connected: SDKs give a stream up after 120 silent seconds."""

import threading

import grpc
import pytest
from durabletask import task
from support.hub import Hub

IDLE_S = 130.0


class _CountStreams(grpc.UnaryStreamClientInterceptor):
    """Counts how often the worker opens its work item stream."""

    def __init__(self) -> None:
        self.opened = 0

    def intercept_unary_stream(self, continuation, details, request):
        if details.method.endswith("GetWorkItems"):
            self.opened += 1
        return continuation(details, request)


@pytest.mark.timeout(IDLE_S + 60)
def test_trap_59_an_idle_worker_keeps_its_stream(hub: Hub):
    def still_there(ctx: task.OrchestrationContext, _):
        return "still there"

    streams = _CountStreams()
    hub.worker(orchestrators=[still_there], filters="auto", interceptors=[streams])
    watcher = hub.raw_worker(orchestrations=["nothing"])
    assert hub.run(still_there) == "still there"
    # The one place where time itself is what is tested.
    threading.Event().wait(IDLE_S)
    assert hub.run(still_there) == "still there"
    assert streams.opened == 1
    assert watcher.ended is None and watcher.pings >= IDLE_S // 30
