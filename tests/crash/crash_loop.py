"""Kills a server under load, over and over; heals; and checks that nothing was lost and nothing happened twice."""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
from durabletask.internal import orchestrator_service_pb2 as pb

import checks
from checks import Evidence, Instance
from ledger import Ledger
from load import Load
from support import raw
from support.server import Server

DRIVERS = 14
HEAL_WITHIN_S = 60.0
READ_WITHIN_S = 20.0
# How long a round runs before its kill, from the moment the server answers again.
LIVES_S = (0.2, 1.2)
IN_FLIGHT_WITHIN_S = 5.0
WORKER_DIES_EVERY = 7
DIES_WHILE_STARTING_EVERY = 5


class Worker:
    """The worker process; killed now and then, like the server."""

    def __init__(self, address: str, ledger: Path, log: Path) -> None:
        self._command = [sys.executable, str(Path(__file__).parent / "worker.py"), address, str(ledger)]
        self._log = log
        self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def replace(self) -> None:
        self.kill()
        self._process = self._spawn()

    def is_running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=50, help="how often to kill the server (default 50)")
    arguments.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="repeats the same moments")
    options = arguments.parse_args()
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print(f"crash loop: {options.rounds} rounds, seed {options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="longhaul-crash-"))
    try:
        seen = _run(directory, options.rounds, options.seed)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return _report(seen)


def _run(directory: Path, rounds: int, seed: int) -> Evidence:
    rng = random.Random(seed)
    seen = Evidence(rounds)
    effects, acknowledged = directory / "effects", directory / "acknowledged"
    effects.touch()
    server = Server(directory)
    worker: Worker | None = None
    load: Load | None = None
    try:
        server.start()
        worker = Worker(server.address, effects, directory / "worker.log")
        load = Load(server.address, Ledger(acknowledged), seed, DRIVERS)
        load.start()
        began = time.monotonic()
        slowest_restart = 0.0
        for number in range(1, rounds + 1):
            time.sleep(rng.uniform(*LIVES_S))
            if _kill_in_flight(server, load):
                seen.kills_in_flight += 1
            if number % WORKER_DIES_EVERY == 0:
                worker.replace()
            if number % DIES_WHILE_STARTING_EVERY == 0:
                server.spawn()
                time.sleep(rng.uniform(0.01, 0.4))
                server.kill()
            down_at = time.monotonic()
            try:
                server.start()
            except RuntimeError as failure:
                seen.restart_failures.append(f"round {number}: {failure}")
                return seen
            if not worker.is_running():
                seen.unfinished.append("the worker, which ended by itself")
                return seen
            slowest_restart = max(slowest_restart, time.monotonic() - down_at)
            if number % 10 == 0 or number == rounds:
                print(f"  round {number}: {load.started()} orchestrations started, "
                      f"slowest restart {slowest_restart:.2f} s, {time.monotonic() - began:.0f} s", flush=True)
        if not load.finish(HEAL_WITHIN_S):
            seen.unfinished = [f"the driver of {instance_id}" for instance_id in sorted(load.unfinished)]
        seen.refusals = load.refusals
        _gather(server.address, acknowledged, effects, seen)
        server.stop()
        server.start()
        seen.histories_after_restart = _histories(server.address, [instance.id for instance in seen.everything()])
        return seen
    except (grpc.RpcError, RuntimeError) as failure:
        seen.restart_failures.append(f"after the last round: {failure}")
        return seen
    finally:
        if any(True for check in checks.ALL for _ in check(seen)):
            print(f"end of the server's log:\n{server.log_tail()}", flush=True)
            print(f"end of the worker's log:\n{_tail(directory / 'worker.log')}", flush=True)
        if load is not None:
            load.close()
        if worker is not None:
            worker.kill()
        server.kill()


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:] if log.exists() else "(no log)"


def _kill_in_flight(server: Server, load: Load) -> bool:
    """Kills the server at a moment at which requests that change something are in flight; false if none came."""
    deadline = time.monotonic() + IN_FLIGHT_WITHIN_S
    while load.writes_in_flight() == 0 and time.monotonic() < deadline:
        time.sleep(0.0005)
    in_flight = load.writes_in_flight() > 0 and server.is_running()
    server.kill()
    return in_flight


def _gather(address: str, acknowledged: Path, effects: Path, seen: Evidence) -> None:
    """Reads the ledgers, and from the server what became of everything in them."""
    entries = list(Ledger.read(acknowledged))
    for entry in Ledger.read(effects):
        seen.effects[entry["nonce"]] = entry["instance"]
        seen.effect_runs += 1
    for entry in entries:
        if entry["kind"] == "event":
            seen.events[entry["instance"], entry["event"]] = entry["outcome"]
    channel = raw.open_channel(address)
    stub = raw.stubs.TaskHubSidecarServiceStub(channel)
    for entry in entries:
        if entry["kind"] != "started":
            continue
        instance = _read(stub, entry["instance"], entry["shape"], entry["given"], entry["execution"])
        seen.instances.append(instance)
        if entry["shape"] == "family":
            seen.children.extend(_read(stub, f"{instance.id}.{number}", "steps", size, None)
                                 for number, size in enumerate(entry["given"]))
    channel.close()


def _read(stub: raw.stubs.TaskHubSidecarServiceStub, instance_id: str, shape: str, given: object,
          execution_id: str | None) -> Instance:
    answer = stub.GetInstance(pb.GetInstanceRequest(instanceId=instance_id, getInputsAndOutputs=True),
                              timeout=READ_WITHIN_S, metadata=raw.HUB)
    return Instance(instance_id, shape, given, execution_id,
                    answer.orchestrationState if answer.exists else None, _history(stub, instance_id))


def _history(stub: raw.stubs.TaskHubSidecarServiceStub, instance_id: str) -> list[pb.HistoryEvent]:
    try:
        chunks = stub.StreamInstanceHistory(pb.StreamInstanceHistoryRequest(instanceId=instance_id),
                                            timeout=READ_WITHIN_S, metadata=raw.HUB)
        return [event for chunk in chunks for event in chunk.events]
    except grpc.RpcError as error:
        if error.code() == grpc.StatusCode.NOT_FOUND:  # type: ignore[attr-defined]
            return []
        raise


def _histories(address: str, instance_ids: list[str]) -> dict[str, list[pb.HistoryEvent]]:
    channel = raw.open_channel(address)
    stub = raw.stubs.TaskHubSidecarServiceStub(channel)
    histories = {instance_id: _history(stub, instance_id) for instance_id in instance_ids}
    channel.close()
    return histories


def _report(seen: Evidence) -> int:
    results = sum(raw.kinds(instance.history).count("taskCompleted") for instance in seen.everything())
    print(f"{len(seen.instances)} orchestrations and {len(seen.children)} children, {len(seen.events)} events, "
          f"{seen.effect_runs} runs of activities for {results} results in final histories")
    failed = 0
    for check in checks.ALL:
        violations = list(check(seen))
        failed += bool(violations)
        print(f"{'FAILED' if violations else 'ok    '} {check.__name__.replace('_', ' ')}")
        for violation in violations[:5]:
            print(f"         {violation}")
        if len(violations) > 5:
            print(f"         and {len(violations) - 5} more")
    print(f"{len(checks.ALL) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
