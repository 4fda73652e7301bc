"""Schedules: the SDK makes them of an entity that signals itself and starts orchestrations; the server keeps time."""

from datetime import datetime, timedelta, timezone

import grpc
import pytest
from durabletask import task
from durabletask.scheduled import (ScheduleCreationOptions, ScheduledTaskClient, ScheduleNotFoundError, ScheduleQuery,
                                   ScheduleStatus, ScheduleUpdateOptions)
from google.protobuf import empty_pb2
from support import raw
from support.hub import Hub, quick_reconnect
from support.server import Server
from support.waiting import eventually

SHORTEST = timedelta(seconds=1)
NEVER = timedelta(days=365)


def report(ctx: task.OrchestrationContext, given):
    return [given, ctx.instance_id]


def serve(hub: Hub, **options) -> ScheduledTaskClient:
    """Starts a worker for schedules and for what they start."""
    worker = hub.new_worker(orchestrators=[report], **options)
    worker.configure_scheduled_tasks()
    worker.start()
    return ScheduledTaskClient(hub.client)


def every(schedule_id: str, interval: timedelta = SHORTEST, **options) -> ScheduleCreationOptions:
    return ScheduleCreationOptions(schedule_id=schedule_id, orchestration_name="report", interval=interval, **options)


def runs(hub: Hub, schedule_id: str) -> list[str]:
    """The orchestrations a schedule has started, oldest first; the SDK names them by schedule and time."""
    return hub.query(instanceIdPrefix=raw.text(f"{schedule_id}-"))


def due_at(instance_id: str, schedule_id: str) -> datetime:
    return datetime.fromisoformat(instance_id.removeprefix(f"{schedule_id}-"))


def pass_by(hub: Hub, schedules: ScheduledTaskClient, time: datetime) -> None:
    """Waits until a schedule for just after this time has run, so that signals for the time itself have arrived."""
    schedule_id = hub.unique("later")
    schedule = schedules.create_schedule(every(schedule_id, start_at=time + timedelta(milliseconds=500)))
    eventually(lambda: runs(hub, schedule_id), what="a run after that time")
    schedule.delete()


def test_a_schedule_starts_its_orchestration_time_after_time(hub: Hub):
    schedules = serve(hub)
    schedule_id = hub.unique("heartbeat")
    schedules.create_schedule(every(schedule_id, orchestration_input={"of": "heart"}))
    started = eventually(lambda: (ids := runs(hub, schedule_id)) and len(ids) >= 3 and ids, what="three runs")
    for instance_id in started[:3]:
        assert hub.completed(instance_id) == [{"of": "heart"}, instance_id]
    due = [due_at(instance_id, schedule_id) for instance_id in started]
    # A worker that is late skips runs, but moves none.
    gaps = [later - earlier for earlier, later in zip(due, due[1:])]
    assert all(gap >= SHORTEST and gap % SHORTEST == timedelta(0) for gap in gaps), gaps
    for instance_id, time in zip(started, due):
        assert hub.state(instance_id).createdTimestamp.ToDatetime(timezone.utc) >= time
    schedules.get_schedule_client(schedule_id).delete()


def test_a_schedule_shows_what_it_is_and_when_it_runs_next(hub: Hub):
    schedules = serve(hub)
    schedule_id = hub.unique("yearly")
    start_at = datetime.now(timezone.utc) + NEVER
    schedule = schedules.create_schedule(every(schedule_id, timedelta(days=7), start_at=start_at))
    eventually(lambda: schedule.describe().next_run_at == start_at, what="the next run known")
    description = schedule.describe()
    assert (description.schedule_id, description.orchestration_name) == (schedule_id, "report")
    assert (description.interval, description.status) == (timedelta(days=7), ScheduleStatus.ACTIVE)
    assert description.last_run_at is None and runs(hub, schedule_id) == []


def test_a_paused_schedule_starts_nothing_until_it_is_resumed(hub: Hub):
    schedules = serve(hub)
    schedule_id = hub.unique("paused")
    schedule = schedules.create_schedule(every(schedule_id, start_at=datetime.now(timezone.utc) + NEVER))
    schedule.pause()
    with pytest.raises(RuntimeError, match="Invalid state transition"):
        schedule.pause()
    # Overdue from here on; only the pause keeps it from running.
    schedule.update(ScheduleUpdateOptions(start_at=datetime.now(timezone.utc), start_immediately_if_late=True))
    assert schedule.describe().status == ScheduleStatus.PAUSED and runs(hub, schedule_id) == []
    schedule.resume()
    eventually(lambda: runs(hub, schedule_id), what="a run after the resumption")
    schedule.delete()


def test_an_updated_schedule_forgets_the_run_it_had_planned(hub: Hub):
    schedules = serve(hub)
    schedule_id = hub.unique("updated")
    planned = datetime.now(timezone.utc) + timedelta(seconds=2)
    schedule = schedules.create_schedule(every(schedule_id, start_at=planned))
    eventually(lambda: schedule.describe().next_run_at == planned, what="the run planned")
    schedule.update(ScheduleUpdateOptions(start_at=planned + NEVER))
    # The signal of the old plan arrives all the same; it is outdated and starts nothing.
    pass_by(hub, schedules, planned)
    assert runs(hub, schedule_id) == []


def test_a_deleted_schedule_is_gone_with_its_signals(hub: Hub):
    schedules = serve(hub)
    schedule_id = hub.unique("deleted")
    schedule = schedules.create_schedule(every(schedule_id))
    eventually(lambda: runs(hub, schedule_id), what="a first run")
    schedule.delete()
    with pytest.raises(ScheduleNotFoundError):
        schedule.describe()
    assert schedules.get_schedule(schedule_id) is None
    ended = runs(hub, schedule_id)
    # The signal for the next run arrives all the same; it finds no schedule and leaves no entity behind.
    pass_by(hub, schedules, datetime.now(timezone.utc) + SHORTEST)
    assert runs(hub, schedule_id) == ended
    assert hub.entities(f"@schedule@{schedule_id}", includeTransient=True) == []


def test_a_schedule_with_an_end_deletes_itself(hub: Hub):
    schedules = serve(hub)
    schedule_id = hub.unique("ending")
    end_at = datetime.now(timezone.utc) + timedelta(milliseconds=2500)
    schedules.create_schedule(every(schedule_id, end_at=end_at))
    eventually(lambda: runs(hub, schedule_id), what="a first run")
    eventually(lambda: schedules.get_schedule(schedule_id) is None, what="the end of the schedule")
    assert datetime.now(timezone.utc) > end_at
    assert all(due_at(instance_id, schedule_id) <= end_at for instance_id in runs(hub, schedule_id))


def test_schedules_are_listed_by_prefix_status_and_page(hub: Hub):
    schedules = serve(hub)
    prefix = hub.unique("listed")
    ids = [f"{prefix}-{n}" for n in range(5)]
    for schedule_id in ids:
        schedules.create_schedule(every(schedule_id, start_at=datetime.now(timezone.utc) + NEVER))
    schedules.get_schedule_client(ids[2]).pause()

    def listed(**query) -> list[str]:
        return [found.schedule_id for found in schedules.list_schedules(
            ScheduleQuery(schedule_id_prefix=prefix, page_size=2, **query))]
    assert listed() == ids
    assert listed(status=ScheduleStatus.PAUSED) == [ids[2]]
    assert listed(created_from=datetime.now(timezone.utc)) == []


def _answers(hub: Hub) -> bool:
    try:
        hub.call("Hello", empty_pb2.Empty(), timeout=1.0)
    except grpc.RpcError:
        return False
    return True


@pytest.mark.own_server
def test_a_schedule_survives_a_kill(own_server: Server):
    hub = Hub(own_server.address)
    try:
        schedules = serve(hub, **quick_reconnect())
        schedule_id = hub.unique("lasting")
        start_at = datetime.now(timezone.utc) + timedelta(seconds=2)
        schedule = schedules.create_schedule(every(schedule_id, start_at=start_at))
        eventually(lambda: schedule.describe().next_run_at == start_at, what="the next run known")
        own_server.kill()
        own_server.start()
        eventually(lambda: _answers(hub), what="the client reconnected")
        eventually(lambda: len(runs(hub, schedule_id)) >= 2, what="runs after the kill")
        assert runs(hub, schedule_id)[0] == f"{schedule_id}-{start_at.isoformat()}"
    finally:
        hub.close()
