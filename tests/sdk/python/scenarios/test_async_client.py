"""The SDK's asynchronous client: every method of it against a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta, timezone

from durabletask import task
from durabletask.azuremanaged.client import AsyncDurableTaskSchedulerClient
from durabletask.client import EntityQuery, OrchestrationQuery, OrchestrationStatus
from durabletask.entities import EntityInstanceId
from support.hub import Hub, Program
from support.waiting import DEADLINE_S

program = Program()


@asynccontextmanager
async def connected(hub: Hub) -> AsyncIterator[AsyncDurableTaskSchedulerClient]:
    async with AsyncDurableTaskSchedulerClient(
            host_address=hub.address, secure_channel=False, taskhub=hub.name, token_credential=None) as client:
        yield client


@program.orchestrator
def listener(ctx: task.OrchestrationContext, given):
    ctx.set_custom_status("listening")
    return [given, (yield ctx.wait_for_external_event("say"))]


@program.orchestrator
def moody(ctx: task.OrchestrationContext, key: str):
    return (yield ctx.call_activity(fail_once, input=key))


@program.activity
def fail_once(_, key: str) -> str:
    if key not in seen:
        seen.add(key)
        raise RuntimeError("the first time")
    return "recovered"


seen: set[str] = set()


@program.entity
def tally(ctx, amount: int | None):
    ctx.set_state(ctx.get_state(int, 0) + (amount or 0))


def test_an_orchestration_from_its_start_to_its_purge(shared: Hub):
    async def story() -> None:
        async with connected(shared) as client:
            began = datetime.now(timezone.utc) - timedelta(minutes=1)
            instance_id = await client.schedule_new_orchestration(listener, input=1, tags={"team": "red"})
            started = await client.wait_for_orchestration_start(instance_id, fetch_payloads=True, timeout=30)
            assert started.runtime_status == OrchestrationStatus.RUNNING
            assert started.get_custom_status() == "listening"
            await client.suspend_orchestration(instance_id)
            await client.raise_orchestration_event(instance_id, "say", data="two")
            assert (await client.get_orchestration_state(instance_id)).serialized_output is None
            await client.resume_orchestration(instance_id)
            ended = await client.wait_for_orchestration_completion(instance_id, timeout=30)
            assert ended.get_output() == [1, "two"]
            names = [type(event).__name__ for event in await client.get_orchestration_history(instance_id)]
            assert {"ExecutionSuspendedEvent", "EventRaisedEvent", "ExecutionResumedEvent"} <= set(names)
            found = await client.get_all_orchestration_states(OrchestrationQuery(
                created_time_from=began, runtime_status=[OrchestrationStatus.COMPLETED]))
            assert instance_id in {state.instance_id for state in found}
            listed, token = [], None
            while True:
                page = await client.list_instance_ids(
                    runtime_status=[OrchestrationStatus.COMPLETED], completed_time_from=began, page_size=2,
                    continuation_token=token)
                listed, token = listed + page.items, page.continuation_token
                if token is None:
                    break
            assert instance_id in listed
            assert (await client.purge_orchestration(instance_id)).deleted_instance_count == 1
            assert await client.get_orchestration_state(instance_id) is None
    asyncio.run(story())


def test_ends_that_are_undone(shared: Hub):
    async def story() -> None:
        async with connected(shared) as client:
            key = shared.unique("moody")
            failing = await client.schedule_new_orchestration(moody, input=key)
            state = await client.wait_for_orchestration_completion(failing, timeout=30)
            assert state.runtime_status == OrchestrationStatus.FAILED
            await client.rewind_orchestration(failing, reason="try again")
            state = await client.wait_for_orchestration_completion(failing, timeout=30)
            assert state.get_output() == "recovered"
            assert await client.restart_orchestration(failing) == failing
            await client.wait_for_orchestration_completion(failing, timeout=30)
            copy = await client.restart_orchestration(failing, restart_with_new_instance_id=True)
            assert copy != failing
            state = await client.wait_for_orchestration_completion(copy, timeout=30)
            assert state.get_output() == "recovered"
            waiting = await client.schedule_new_orchestration(listener)
            await client.terminate_orchestration(waiting, output="enough", recursive=True)
            state = await client.wait_for_orchestration_completion(waiting, timeout=30)
            assert (state.runtime_status, state.get_output()) == (OrchestrationStatus.TERMINATED, "enough")
    asyncio.run(story())


def test_many_waits_share_one_connection(shared: Hub):
    async def story() -> None:
        async with connected(shared) as client:
            started = [await client.schedule_new_orchestration(listener, input=n) for n in range(30)]
            waits = [asyncio.create_task(client.wait_for_orchestration_completion(instance_id, timeout=30))
                     for instance_id in started]
            for instance_id in reversed(started):
                await client.raise_orchestration_event(instance_id, "say", data="go")
            assert [state.get_output() for state in await asyncio.gather(*waits)] == [[n, "go"] for n in range(30)]
    asyncio.run(story())


def test_entities(shared: Hub):
    async def story() -> None:
        async with connected(shared) as client:
            entity = EntityInstanceId("tally", shared.unique("key"))
            await client.signal_entity(entity, "add", input=3)
            await client.signal_entity(entity, "add", input=4)
            async with asyncio.timeout(DEADLINE_S):
                while (found := await client.get_entity(entity)) is None or found.get_typed_state(int) != 7:
                    await asyncio.sleep(0.01)
            listed = await client.get_all_entities(EntityQuery(instance_id_starts_with=str(entity)))
            assert [metadata.id for metadata in listed] == [entity]
            cleaned = await client.clean_entity_storage()
            assert (cleaned.empty_entities_removed, cleaned.orphaned_locks_released) == (0, 0)
    asyncio.run(story())


def test_a_purge_by_what_instances_are(own_hub: Hub):
    async def story() -> None:
        async with connected(own_hub) as client:
            kept = await client.schedule_new_orchestration(listener)
            ended = [await client.schedule_new_orchestration(listener) for _ in range(3)]
            for instance_id in ended:
                await client.terminate_orchestration(instance_id)
            purged = await client.purge_orchestrations_by(
                runtime_status=[OrchestrationStatus.TERMINATED], timeout=timedelta(seconds=30))
            assert (purged.deleted_instance_count, purged.is_complete) == (3, True)
            assert (await client.get_orchestration_state(kept)).runtime_status == OrchestrationStatus.PENDING
    asyncio.run(story())
