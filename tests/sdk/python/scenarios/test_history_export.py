"""Export of histories: the SDK's jobs list what has ended, read each history, and hand it to a writer."""

import gzip
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import pytest
from durabletask import task
from durabletask.client import OrchestrationStatus
from durabletask.extensions.history_export import (ExportDestination, ExportFormat, ExportFormatKind,
                                                   ExportHistoryClient, ExportJobCreationOptions, ExportJobStatus,
                                                   ExportMode, orchestrator_instance_id_for)
from support import raw
from support.hub import Hub
from support.waiting import eventually


@dataclass
class Shelf:
    """A writer that keeps what it is given, by instance."""

    written: dict[str, list[bytes]] = field(default_factory=dict)

    def write(self, *, instance_id: str, container: str, blob_name: str, payload: bytes, content_type: str,
              content_encoding: str | None, metadata: Mapping[str, str] | None = None) -> None:
        document = gzip.decompress(payload) if content_encoding == "gzip" else payload
        self.written.setdefault(instance_id, []).append(document)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def exports(own_hub: Hub, shelf: Shelf) -> Iterator[ExportHistoryClient]:
    """The SDK's client for jobs, with a worker that runs them and `work`; a hub for it alone, as a job sees it all."""
    def work(ctx: task.OrchestrationContext, given: int):
        if given < 0:
            raise ValueError("negative")
        return (yield ctx.call_activity(double, input=given))

    def double(_, given: int) -> int:
        return 2 * given

    client = ExportHistoryClient(own_hub.client, shelf)
    worker = own_hub.new_worker(orchestrators=[work], activities=[double])
    client.register_worker(worker)
    worker.start()
    yield client


def ended(hub: Hub, *inputs: int) -> list[str]:
    """Ids of instances of `work` that have ended."""
    started = [hub.client.schedule_new_orchestration("work", input=given) for given in inputs]
    for instance_id in started:
        hub.ended(instance_id)
    return started


def everything_so_far(**options) -> ExportJobCreationOptions:
    # The end of the window is exclusive, and what has just ended belongs to it.
    now = datetime.now(timezone.utc)
    return ExportJobCreationOptions(
        mode=ExportMode.BATCH, completed_time_from=now - timedelta(minutes=5),
        completed_time_to=now + timedelta(milliseconds=1), destination=ExportDestination(container="kept"), **options)


def test_a_batch_exports_every_history_whole(own_hub: Hub, exports: ExportHistoryClient, shelf: Shelf):
    instances = ended(own_hub, 1, 2, -3, 4, 5)
    job = exports.create_job(everything_so_far(max_instances_per_batch=2))
    final = exports.wait_for_job(job.job_id, timeout=30, poll_interval=0.05)
    assert (final.status, final.last_error) == (ExportJobStatus.COMPLETED, None)
    assert (final.exported_instances, final.failed_instances) == (5, 0)
    assert set(shelf.written) == set(instances)
    for instance_id in instances:
        ((header, *events),) = [[json.loads(line) for line in document.splitlines()]
                                for document in shelf.written[instance_id]]
        assert header["instance_id"] == instance_id
        assert len(events) == len(own_hub.history(instance_id)) > 0


def test_a_batch_takes_the_statuses_it_names(own_hub: Hub, exports: ExportHistoryClient, shelf: Shelf):
    _, failed = ended(own_hub, 1, -1)
    # Not begun when it is terminated: the worker takes whatever is ready.
    terminated = own_hub.start("work", scheduledStartTimestamp=raw.timestamp(time.time() + 86_400))
    own_hub.terminate(terminated)
    own_hub.reaches(terminated, raw.TERMINATED)
    job = exports.create_job(everything_so_far(
        runtime_status=[OrchestrationStatus.FAILED, OrchestrationStatus.TERMINATED],
        format=ExportFormat(kind=ExportFormatKind.JSON)))
    exports.wait_for_job(job.job_id, timeout=30, poll_interval=0.05)
    assert set(shelf.written) == {failed, terminated}
    (document,) = shelf.written[failed]
    assert json.loads(document)["metadata"]["failure_details"]["message"] == "negative"


def test_a_continuous_job_runs_until_it_is_deleted(own_hub: Hub, exports: ExportHistoryClient, shelf: Shelf):
    instances = ended(own_hub, 1, 2, 3)
    job = exports.create_job(ExportJobCreationOptions(
        mode=ExportMode.CONTINUOUS, completed_time_from=datetime.now(timezone.utc) - timedelta(minutes=5),
        destination=ExportDestination(container="kept")))
    eventually(lambda: set(shelf.written) >= set(instances), what="what had ended")
    eventually(lambda: exports.get_job(job.job_id).exported_instances >= 3, what="the job's own count")
    assert [found.job_id for found in exports.list_jobs()] == [job.job_id]
    assert exports.get_job(job.job_id).status == ExportJobStatus.ACTIVE
    exports.delete_job(job.job_id)
    eventually(lambda: exports.get_job(job.job_id) is None, what="the end of the job")
    assert own_hub.state(orchestrator_instance_id_for(job.job_id)) is None
