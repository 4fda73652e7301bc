"""What an orchestrator sees while its history is replayed: made-up ids, time, log lines, and which turn is new."""

import logging

from durabletask import task
from support.hub import Hub


def step(_, number: int) -> int:
    return number


def test_ids_an_orchestrator_makes_up_are_the_same_in_every_replay(hub: Hub):
    seen: list[list[str]] = []

    def dicing(ctx: task.OrchestrationContext, _):
        made = [ctx.new_uuid(), ctx.new_uuid()]
        for number in range(3):
            yield ctx.call_activity(step, input=number)
            made.append(ctx.new_uuid())
        seen.append(made)
        return made

    hub.worker(orchestrators=[dicing], activities=[step])
    made = hub.run(dicing)
    assert len(set(made)) == 5
    assert seen == [made], "one replay, the last, comes to the end"
    assert not set(made) & set(hub.run(dicing)), "another instance makes up others"


def test_every_line_is_logged_once_however_often_it_is_replayed(hub: Hub):
    lines: list[str] = []
    passes: list[tuple[int, bool]] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.Logger(hub.unique("log"), logging.INFO)
    logger.addHandler(Keeper())

    def talker(ctx: task.OrchestrationContext, _):
        safe = ctx.create_replay_safe_logger(logger)
        for number in range(4):
            passes.append((number, ctx.is_replaying))
            safe.info("before step %d", number)
            yield ctx.call_activity(step, input=number)
        safe.info("done")

    hub.worker(orchestrators=[talker], activities=[step])
    hub.run(talker)
    assert lines == [*(f"before step {number}" for number in range(4)), "done"]
    assert sorted(number for number, replaying in passes if not replaying) == [0, 1, 2, 3]
    assert sum(replaying for _, replaying in passes) == 4 + 3 + 2 + 1


def test_an_orchestrator_that_decides_differently_in_a_replay_fails(hub: Hub):
    turns: list[int] = []

    def fickle(ctx: task.OrchestrationContext, _):
        turns.append(1)
        if len(turns) == 1:
            yield ctx.call_activity(step, input=1)
        else:
            yield ctx.wait_for_external_event("never")

    hub.worker(orchestrators=[fickle], activities=[step])
    state = hub.ended(hub.client.schedule_new_orchestration(fickle))
    assert state.failure_details is not None and state.failure_details.is_caused_by(task.NonDeterminismError)
