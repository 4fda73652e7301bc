"""Fixtures: one server for each test process, one hub with its clients and workers for each scenario."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.hub import Hub, Program
from support.server import Server


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--endpoint", metavar="HOST:PORT",
                     help="run against a server that is already there instead of starting one; use with -n 0")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The longest first, so that the rest runs beside it.
    items.sort(key=lambda item: "idle" not in item.name)
    if config.getoption("--endpoint"):
        for item in items:
            if item.get_closest_marker("own_server"):
                item.add_marker(pytest.mark.skip(reason="restarts its server, and --endpoint names a foreign one"))


@pytest.fixture(scope="session")
def address(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the server listens."""
    endpoint: str | None = request.config.getoption("--endpoint")
    if endpoint:
        yield endpoint
        return
    with _server() as server:
        yield server.address
        assert server.is_running(), f"the server did not survive the scenarios:\n{server.log_tail()}"


@pytest.fixture
def hub(address: str) -> Iterator[Hub]:
    """The hub `default` of the server this process shares between its scenarios."""
    hub = Hub(address)
    yield hub
    hub.close()


@pytest.fixture
def own_hub(address: str) -> Iterator[Hub]:
    """A hub of this scenario's own, for what counts everything there is."""
    hub = Hub(address, f"own-{uuid.uuid4().hex[:12]}")
    yield hub
    hub.close()


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, address: str) -> Iterator[Hub]:
    """The hub `default` with one worker for all scenarios of a file, which runs the file's `program`."""
    hub = Hub(address)
    program: Program = request.module.program
    hub.worker(orchestrators=program.orchestrators, activities=program.activities, entities=program.entities,
               filters="auto")
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def strict_address() -> Iterator[str]:
    """Where a server listens that makes no task hub by itself."""
    with _server(LONGHAUL_HUBS__DYNAMIC="false") as server:
        yield server.address


@pytest.fixture
def own_server() -> Iterator[Server]:
    """A server this scenario may stop and start."""
    with _server() as server:
        yield server


@contextmanager
def _server(**environment: str) -> Iterator[Server]:
    """A running server in a directory of its own, both gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="longhaul-scenarios-"))
    server = Server(directory, environment=environment)
    try:
        yield server.start()
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Prints the line that says how it went, as the very last one."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or hasattr(config, "workerinput"):
        return
    counts = {outcome: len(reporter.stats.get(outcome, [])) for outcome in ("passed", "failed", "error", "skipped")}
    line = f"{counts['passed']} passed, {counts['failed'] + counts['error']} failed"
    print(f"{line}, {counts['skipped']} skipped" if counts["skipped"] else line)
