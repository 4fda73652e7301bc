"""Continue-as-new: what the next generation keeps, and what it must never see."""

import time

from durabletask import task
from support import raw
from support.hub import Hub
from support.waiting import eventually


def test_many_generations_count_up(hub: Hub):
    def increment(_, number: int) -> int:
        return number + 1

    def counter(ctx: task.OrchestrationContext, state: dict):
        state["count"] = yield ctx.call_activity(increment, input=state["count"])
        if state["count"] < state["goal"]:
            ctx.continue_as_new(state)
            return
        return state["count"]

    hub.worker(orchestrators=[counter], activities=[increment])
    instance_id = hub.client.schedule_new_orchestration(counter, input={"count": 0, "goal": 40})
    created_at = hub.state(instance_id).createdTimestamp
    assert hub.completed(instance_id) == 40
    state = hub.state(instance_id)
    assert state.createdTimestamp == created_at
    assert raw.kinds(hub.history(instance_id)).count("taskScheduled") == 1, "only the last generation has history"


def test_each_generation_has_its_own_execution_id(hub: Hub):
    name = hub.unique("generations")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name, input="0", tags={"kept": "yes"}, version="1.0")
    execution_ids = []
    for generation in range(4):
        turn = worker.turn(instance_id)
        assert turn.past() == [] and turn.new() == ["orchestratorStarted", "executionStarted"]
        started = turn.started()
        assert started.input.value == str(generation)
        assert dict(started.tags) == {"kept": "yes"} and started.version.value == "1.0"
        assert started.orchestrationInstance.executionId.value == turn.request.executionId.value
        execution_ids.append(turn.request.executionId.value)
        assert hub.status(instance_id) == (raw.PENDING if generation == 0 else raw.RUNNING)
        worker.answer(turn, raw.continue_as_new(1, str(generation + 1)))
    assert len(set(execution_ids)) == 4
    worker.answer(worker.turn(instance_id), raw.complete(1))
    hub.reaches(instance_id, raw.COMPLETED)


def test_saved_events_come_along_in_order(hub: Hub):
    def batches(ctx: task.OrchestrationContext, seen: list):
        if not seen:
            yield ctx.wait_for_external_event("go")
        else:
            seen.append((yield ctx.wait_for_external_event("item")))
        if len(seen) == 5:
            return seen
        ctx.continue_as_new(seen or ["start"], save_events=True)

    instance_id = hub.client.schedule_new_orchestration(batches, input=[])
    for item in range(4):
        hub.client.raise_orchestration_event(instance_id, "item", data=item)
    hub.client.raise_orchestration_event(instance_id, "go")
    hub.worker(orchestrators=[batches])
    assert hub.completed(instance_id) == ["start", 0, 1, 2, 3]


def test_events_in_flight_follow_the_carried_ones(hub: Hub):
    name = hub.unique("carry")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = hub.start(name)
    first = worker.turn(instance_id)
    hub.raise_event(instance_id, "in-flight", "2")
    carried = raw.pb.HistoryEvent(eventId=-1, eventRaised=raw.pb.EventRaisedEvent(name="carried", input=raw.text("1")))
    worker.answer(first, raw.continue_as_new(1, "next", carryoverEvents=[carried]))
    second = worker.turn(instance_id)
    assert second.new() == ["orchestratorStarted", "executionStarted", "eventRaised", "eventRaised"]
    assert second.raised() == [("carried", "1"), ("in-flight", "2")]
    assert all(event.HasField("timestamp") for event in second.request.newEvents)
    worker.answer(second, raw.complete(1))
    hub.reaches(instance_id, raw.COMPLETED)


def test_results_of_an_older_generation_are_dropped(hub: Hub):
    name, child_name = hub.unique("stale"), hub.unique("stale-child")
    worker = hub.raw_worker(orchestrations=[name, child_name], activities=[name])
    instance_id, child_id = hub.start(name), hub.unique("child")
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name), raw.create_timer(2, time.time() + 1.0),
                  raw.create_child(3, child_name, child_id))
    old_activity, child = worker.activity(instance_id), worker.turn(child_id)
    hub.raise_event(instance_id, "again")
    worker.answer(worker.turn(instance_id), raw.continue_as_new(4))
    worker.answer(worker.turn(instance_id), raw.schedule_task(1, name), raw.create_timer(2, time.time() + 2.0))
    worker.finish(old_activity, '"old"')
    worker.answer(child, raw.complete(1, '"old"'))
    hub.reaches(child_id, raw.COMPLETED)
    worker.finish(worker.activity(instance_id), '"new"')
    done = worker.turn(instance_id)
    assert done.new() == ["orchestratorStarted", "taskCompleted"]
    assert done.request.newEvents[1].taskCompleted.result.value == '"new"'
    worker.answer(done)
    fired = worker.turn(instance_id)
    assert fired.new() == ["orchestratorStarted", "timerFired"], "only this generation's timer, and no child"
    worker.answer(fired, raw.complete(5))
    history = raw.kinds(hub.history(instance_id))
    assert history.count("taskCompleted") == history.count("timerFired") == 1
    assert "subOrchestrationInstanceCompleted" not in history


def test_events_sent_together_with_continue_as_new_are_sent(hub: Hub):
    def receiver(ctx: task.OrchestrationContext, _):
        first = yield ctx.wait_for_external_event("hello")
        second = yield ctx.wait_for_external_event("hello")
        return [first, second]

    def sender(ctx: task.OrchestrationContext, plan: dict):
        ctx.send_event(plan["to"], "hello", data=plan["round"])
        if plan["round"] == 0:
            ctx.continue_as_new({**plan, "round": 1})

    hub.worker(orchestrators=[receiver, sender])
    target = hub.client.schedule_new_orchestration(receiver)
    hub.client.schedule_new_orchestration(sender, input={"to": target, "round": 0})
    assert hub.completed(target) == [0, 1]


def test_the_next_generation_may_be_another_version(hub: Hub):
    def upgrading(ctx: task.OrchestrationContext, history: list):
        history.append(ctx.version)
        if len(history) == 1:
            ctx.continue_as_new(history, new_version="2.0")
        elif len(history) == 2:
            ctx.continue_as_new(history)
        else:
            return history

    hub.worker(orchestrators=[upgrading])
    instance_id = hub.client.schedule_new_orchestration(upgrading, input=[], version="1.0")
    assert hub.completed(instance_id) == ["1.0", "2.0", "2.0"]
    assert hub.state(instance_id).version.value == "2.0"


def test_custom_status_is_kept_until_the_generation_sets_its_own(hub: Hub):
    def reporter(ctx: task.OrchestrationContext, generation: int):
        if generation == 0:
            ctx.set_custom_status("from the first")
            ctx.continue_as_new(1)
            return
        yield ctx.wait_for_external_event("report")
        ctx.set_custom_status("from the second")
        yield ctx.wait_for_external_event("finish")

    hub.worker(orchestrators=[reporter])
    instance_id = hub.client.schedule_new_orchestration(reporter, input=0)
    eventually(lambda: hub.state(instance_id).input.value == "1" and len(hub.history(instance_id)) > 0,
               what="the second generation's first turn")
    assert hub.state(instance_id).customStatus.value == '"from the first"'
    hub.client.raise_orchestration_event(instance_id, "report")
    eventually(lambda: hub.state(instance_id).customStatus.value == '"from the second"', what="the new status")
    hub.client.raise_orchestration_event(instance_id, "finish")
    hub.completed(instance_id)


def test_a_child_reports_only_its_last_generation(hub: Hub):
    def child(ctx: task.OrchestrationContext, number: int):
        if number < 5:
            ctx.continue_as_new(number + 1)
            return
        return number

    def parent(ctx: task.OrchestrationContext, _):
        return (yield ctx.call_sub_orchestrator(child, input=0))

    hub.worker(orchestrators=[parent, child])
    instance_id = hub.client.schedule_new_orchestration(parent)
    assert hub.completed(instance_id) == 5
    assert raw.kinds(hub.history(instance_id)).count("subOrchestrationInstanceCompleted") == 1
