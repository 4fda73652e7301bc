"""One `longhaul dev` process on loopback: start, kill, restart on the same data and port, stop."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import grpc
from durabletask.internal import orchestrator_service_pb2_grpc as stubs
from google.protobuf import empty_pb2

READY_WITHIN_S = 30.0
STOP_WITHIN_S = 10.0

_REPOSITORY = Path(__file__).resolve().parents[4]


def binary() -> Path:
    """The server binary: LONGHAUL_BIN, else this checkout's release or debug build."""
    named = os.environ.get("LONGHAUL_BIN")
    target = Path(os.environ.get("CARGO_TARGET_DIR") or _REPOSITORY / "target")
    candidates = [Path(named)] if named else [target / profile / "longhaul" for profile in ("release", "debug")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileNotFoundError(f"no server binary at {' or '.join(map(str, candidates))}; build it or set LONGHAUL_BIN")


def free_port() -> int:
    """A loopback port nobody listens on, below the range outgoing connections take their ports from.

    A port from that range could be taken, while the server is down between two starts, by one of the very
    clients that keep reconnecting to it.
    """
    try:
        first_ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        first_ephemeral = 32768
    for _ in range(200):
        port = random.SystemRandom().randrange(10_240, max(first_ephemeral, 10_241))
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free loopback port found")


class Server:
    """A server process and the directory it keeps its data in."""

    def __init__(self, directory: Path, *, port: int | None = None, environment: dict[str, str] | None = None) -> None:
        self.environment = dict(environment or {})
        self.data = directory / "data"
        self.log = directory / "server.log"
        self.port = port or free_port()
        self.dashboard_port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> "Server":
        """Starts the process and returns once it answers."""
        self.spawn()
        self.wait_ready()
        return self

    def spawn(self) -> None:
        """Starts the process without waiting for it."""
        assert self._process is None, "the server is already running"
        # Whatever becomes of this process, its server does not outlive it.
        tether = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        command = [*tether, str(binary()), "dev", "--data", str(self.data), "--port", str(self.port),
                   "--dashboard-port", str(self.dashboard_port)]
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self.environment})

    def wait_ready(self) -> None:
        """Returns once Hello is answered; fails with the end of the log if the process ends or stays silent."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            if self._process is None or self._process.poll() is not None:
                raise RuntimeError(f"the server ended while starting:\n{self.log_tail()}")
            # A fresh channel each time: a failed one waits out a backoff of its own.
            with grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                try:
                    stubs.TaskHubSidecarServiceStub(channel).Hello(
                        empty_pb2.Empty(), timeout=1.0, metadata=(("taskhub", "default"),))
                    return
                except grpc.RpcError as error:
                    if time.monotonic() > deadline:
                        raise RuntimeError(f"the server does not answer: {error}\n{self.log_tail()}") from error
            time.sleep(0.02)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL: nothing is flushed, nobody is told."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def stop(self) -> float:
        """SIGTERM, as an operator would; returns the seconds it took. Kills a process that does not obey."""
        process, self._process = self._process, None
        if process is None:
            return 0.0
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_WITHIN_S + 5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return time.monotonic() - began

    def log_tail(self, characters: int = 4000) -> str:
        try:
            return self.log.read_text(errors="replace")[-characters:]
        except OSError:
            return "(no log)"
