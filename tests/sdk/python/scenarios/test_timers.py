"""Timers: never early, however many, however far away; and the clock orchestrators see."""

import time
from datetime import datetime, timedelta, timezone

from durabletask import task
from support import raw
from support.hub import Hub


def test_a_timer_is_not_early(hub: Hub):
    def sleeper(ctx: task.OrchestrationContext, delay_ms: int):
        before = ctx.current_utc_datetime
        yield ctx.create_timer(timedelta(milliseconds=delay_ms))
        return (ctx.current_utc_datetime - before).total_seconds()

    hub.worker(orchestrators=[sleeper])
    began = time.time()
    assert hub.run(sleeper, 1200) >= 1.2
    assert time.time() - began >= 1.2


def test_a_timer_in_the_past_fires_at_once(hub: Hub):
    def late(ctx: task.OrchestrationContext, _):
        yield ctx.create_timer(ctx.current_utc_datetime - timedelta(days=400))
        yield ctx.create_timer(timedelta(0))
        return "fired"

    hub.worker(orchestrators=[late])
    assert hub.run(late) == "fired"


def test_timers_with_one_fire_time_all_fire(hub: Hub):
    def together(ctx: task.OrchestrationContext, fire_at: str):
        timers = [ctx.create_timer(datetime.fromisoformat(fire_at)) for _ in range(40)]
        yield task.when_all(timers)
        return len(timers)

    hub.worker(orchestrators=[together])
    fire_at = (datetime.now(timezone.utc) + timedelta(seconds=2)).isoformat()
    instances = [hub.client.schedule_new_orchestration(together, input=fire_at) for _ in range(6)]
    assert [hub.completed(instance_id) for instance_id in instances] == [40] * 6


def test_timers_fire_in_order_of_their_time(hub: Hub):
    def ordered(ctx: task.OrchestrationContext, _):
        timers = {ctx.create_timer(timedelta(milliseconds=ms)): ms for ms in (1500, 300, 900)}
        order = []
        waiting = list(timers)
        while waiting:
            fired = yield task.when_any(waiting)
            waiting.remove(fired)
            order.append(timers[fired])
        return order

    hub.worker(orchestrators=[ordered])
    assert hub.run(ordered) == [300, 900, 1500]


def test_a_timer_of_days_is_kept_and_does_not_fire(hub: Hub):
    def patient(ctx: task.OrchestrationContext, days: int):
        yield ctx.create_timer(timedelta(days=days))
        return "fired"

    hub.worker(orchestrators=[patient])
    for days in (4, 40_000):
        instance_id = hub.client.schedule_new_orchestration(patient, input=days)
        hub.reaches(instance_id, raw.RUNNING)
        (created,) = [event for event in hub.history(instance_id) if event.HasField("timerCreated")]
        fire_at = created.timerCreated.fireAt.ToDatetime()
        assert fire_at - datetime.now(timezone.utc).replace(tzinfo=None) > timedelta(days=days - 1)
        hub.client.terminate_orchestration(instance_id, output="enough")
        hub.reaches(instance_id, raw.TERMINATED)


def test_a_fired_timer_names_its_creation(hub: Hub):
    name = hub.unique("timer")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    fire_at = time.time() + 0.3
    worker.answer(worker.turn(instance_id), raw.create_timer(5, fire_at))
    turn = worker.turn(instance_id)
    assert turn.new() == ["orchestratorStarted", "timerFired"]
    started, fired = turn.request.newEvents
    assert fired.eventId == -1 and fired.timerFired.timerId == 5
    assert fired.timerFired.fireAt == raw.timestamp(fire_at)
    assert started.timestamp.ToNanoseconds() >= fired.timerFired.fireAt.ToNanoseconds()
    worker.answer(turn, raw.complete(6))
    hub.reaches(instance_id, raw.COMPLETED)


def test_the_orchestrators_clock_never_goes_back(hub: Hub):
    def tick(_, __):
        return None

    def clock(ctx: task.OrchestrationContext, _):
        times = [ctx.current_utc_datetime]
        for _ in range(8):
            yield ctx.call_activity(tick)
            times.append(ctx.current_utc_datetime)
        yield ctx.create_timer(timedelta(milliseconds=100))
        times.append(ctx.current_utc_datetime)
        return [time.isoformat() for time in times]

    hub.worker(orchestrators=[clock], activities=[tick])
    instance_id = hub.client.schedule_new_orchestration(clock)
    times = hub.completed(instance_id)
    assert times == sorted(times) and times[-1] > times[0]
    stamps = [event.timestamp.ToNanoseconds() for event in hub.history(instance_id)
              if event.HasField("orchestratorStarted")]
    assert stamps == sorted(stamps) and len(set(stamps)) == len(stamps)


def test_an_event_that_beats_the_timer_leaves_nothing_behind(hub: Hub):
    def race(ctx: task.OrchestrationContext, _):
        event = ctx.wait_for_external_event("go")
        timer = ctx.create_timer(timedelta(seconds=1))
        winner = yield task.when_any([event, timer])
        return "event" if winner == event else "timer"

    hub.worker(orchestrators=[race])
    instance_id = hub.client.schedule_new_orchestration(race)
    hub.reaches(instance_id, raw.RUNNING)
    hub.client.raise_orchestration_event(instance_id, "go")
    assert hub.completed(instance_id) == "event"
    before = hub.history(instance_id)
    assert hub.run(race) == "timer", "the second instance sees the same second pass, without an event"
    assert hub.history(instance_id) == before
