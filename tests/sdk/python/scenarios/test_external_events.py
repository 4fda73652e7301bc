"""External events: kept, ordered, delivered once, between clients and between orchestrations."""

import json

from durabletask import task
from support import raw
from support.hub import Hub


def collect(ctx: task.OrchestrationContext, count: int):
    """Returns the payloads of the first `count` events named "item"."""
    items = []
    for _ in range(count):
        items.append((yield ctx.wait_for_external_event("item")))
    return items


def test_events_raised_before_the_first_turn_are_kept(hub: Hub):
    instance_id = hub.client.schedule_new_orchestration(collect, input=3)
    for item in "abc":
        hub.client.raise_orchestration_event(instance_id, "item", data=item)
    hub.worker(orchestrators=[collect])
    assert hub.completed(instance_id) == ["a", "b", "c"]


def test_events_keep_their_order(hub: Hub):
    hub.worker(orchestrators=[collect])
    instance_id = hub.client.schedule_new_orchestration(collect, input=50)
    hub.reaches(instance_id, raw.RUNNING)
    for item in range(50):
        hub.client.raise_orchestration_event(instance_id, "item", data=item)
    assert hub.completed(instance_id) == list(range(50))


def test_events_of_other_names_wait_for_their_turn(hub: Hub):
    def picky(ctx: task.OrchestrationContext, _):
        yield ctx.wait_for_external_event("open")
        later = yield ctx.wait_for_external_event("early")
        return later

    hub.worker(orchestrators=[picky])
    instance_id = hub.client.schedule_new_orchestration(picky)
    hub.client.raise_orchestration_event(instance_id, "early", data=1)
    hub.client.raise_orchestration_event(instance_id, "early", data=2)
    hub.client.raise_orchestration_event(instance_id, "open")
    assert hub.completed(instance_id) == 1


def test_an_event_in_flight_comes_with_the_next_turn(hub: Hub):
    name = hub.unique("in-flight")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    first = worker.turn(instance_id)
    hub.raise_event(instance_id, "one", "1")
    hub.raise_event(instance_id, "two")
    assert first.new() == ["orchestratorStarted", "executionStarted"]
    worker.answer(first)
    second = worker.turn(instance_id)
    assert second.new() == ["orchestratorStarted", "eventRaised", "eventRaised"]
    assert second.raised() == [("one", "1"), ("two", "")]
    assert not second.request.newEvents[2].eventRaised.HasField("input")
    assert all(event.eventId == -1 and event.HasField("timestamp") for event in second.request.newEvents)
    worker.answer(second, raw.complete(1))
    hub.reaches(instance_id, raw.COMPLETED)


def test_event_names_match_whatever_their_case(hub: Hub):
    def waits(ctx: task.OrchestrationContext, _):
        return (yield ctx.wait_for_external_event("Approval"))

    hub.worker(orchestrators=[waits])
    instance_id = hub.client.schedule_new_orchestration(waits)
    hub.client.raise_orchestration_event(instance_id, "aPPROVAL", data="yes")
    assert hub.completed(instance_id) == "yes"
    (raised,) = [event.eventRaised for event in hub.history(instance_id) if event.HasField("eventRaised")]
    assert raised.name == "aPPROVAL", "the server keeps the case it was given"


def test_two_raises_are_two_events(hub: Hub):
    hub.worker(orchestrators=[collect])
    instance_id = hub.client.schedule_new_orchestration(collect, input=2)
    hub.client.raise_orchestration_event(instance_id, "item", data="same")
    hub.client.raise_orchestration_event(instance_id, "item", data="same")
    assert hub.completed(instance_id) == ["same", "same"]


def test_orchestrations_send_events_to_each_other(hub: Hub):
    def sender(ctx: task.OrchestrationContext, target: str):
        ctx.send_event(target, "item", data={"from": ctx.instance_id})
        ctx.send_event(target, "item")
        ctx.send_event(target, "item", data=0)
        yield ctx.wait_for_external_event("stop")

    hub.worker(orchestrators=[sender, collect])
    target = hub.client.schedule_new_orchestration(collect, input=3)
    source = hub.client.schedule_new_orchestration(sender, input=target)
    assert hub.completed(target) == [{"from": source}, None, 0]
    sent = [event for event in hub.history(source) if event.HasField("eventSent")]
    assert [event.eventSent.instanceId for event in sent] == [target] * 3
    assert all(event.eventId >= 0 for event in sent)
    raised = [event.eventRaised for event in hub.history(target) if event.HasField("eventRaised")]
    assert [event.HasField("input") for event in raised] == [True, False, True]
    hub.client.raise_orchestration_event(source, "stop")
    hub.completed(source)


def test_an_orchestration_may_send_itself_an_event(hub: Hub):
    def selfish(ctx: task.OrchestrationContext, _):
        ctx.send_event(ctx.instance_id, "note", data="to self")
        return (yield ctx.wait_for_external_event("note"))

    hub.worker(orchestrators=[selfish])
    assert hub.run(selfish) == "to self"


def test_events_to_nobody_are_dropped_without_harm(hub: Hub):
    def finished(ctx: task.OrchestrationContext, _):
        return "done"

    def sender(ctx: task.OrchestrationContext, targets: list):
        for target in targets:
            ctx.send_event(target, "item", data=1)
        return "sent"

    hub.worker(orchestrators=[sender, finished])
    gone = hub.client.schedule_new_orchestration(finished)
    hub.completed(gone)
    missing = hub.unique("missing")
    assert hub.run(sender, [gone, missing]) == "sent"
    assert hub.state(missing) is None
    hub.client.raise_orchestration_event(gone, "item", data=2)
    assert "eventRaised" not in raw.kinds(hub.history(gone))


def test_a_large_event_arrives_whole(hub: Hub):
    hub.worker(orchestrators=[collect])
    instance_id = hub.client.schedule_new_orchestration(collect, input=1)
    payload = "x" * 700_000
    hub.client.raise_orchestration_event(instance_id, "item", data=payload)
    assert hub.completed(instance_id) == [payload]


def test_many_senders_lose_nothing(hub: Hub):
    def sender(ctx: task.OrchestrationContext, order: dict):
        for number in range(order["count"]):
            ctx.send_event(order["to"], "item", data=[order["who"], number])
        return None

    hub.worker(orchestrators=[sender, collect])
    target = hub.client.schedule_new_orchestration(collect, input=60)
    for who in range(6):
        hub.client.schedule_new_orchestration(sender, input={"to": target, "who": who, "count": 10})
    received = hub.completed(target)
    assert sorted(map(json.dumps, received)) == sorted(json.dumps([w, n]) for w in range(6) for n in range(10))
    for who in range(6):
        assert [n for w, n in received if w == who] == list(range(10)), "one sender's events keep their order"
