"""Payloads that programs keep elsewhere: what the server is given is a token, and it gives back that token."""

import uuid

import pytest
from durabletask import task
from durabletask.azuremanaged.client import DurableTaskSchedulerClient
from durabletask.entities import EntityInstanceId
from durabletask.payload import LargePayloadStorageOptions, PayloadStore
from support import raw
from support.hub import Hub

# More than the server takes in one payload, so that it can have come through in no other way.
LARGE = "x" * (2 * 1024 * 1024)
TOKEN = "blob:v1:memory:"


class Memory(PayloadStore):
    """Keeps payloads in this process."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    @property
    def options(self) -> LargePayloadStorageOptions:
        return LargePayloadStorageOptions(threshold_bytes=1000)

    def upload(self, data: bytes, *, instance_id: str | None = None) -> str:
        token = f"{TOKEN}{uuid.uuid4().hex}"
        self.kept[token] = data
        return token

    async def upload_async(self, data: bytes, *, instance_id: str | None = None) -> str:
        return self.upload(data, instance_id=instance_id)

    def download(self, token: str) -> bytes:
        return self.kept[token]

    async def download_async(self, token: str) -> bytes:
        return self.download(token)

    def is_known_token(self, value: str) -> bool:
        return value.startswith(TOKEN)


@pytest.fixture
def store() -> Memory:
    return Memory()


@pytest.fixture
def client(hub: Hub, store: Memory):
    """A client that keeps large payloads in the store."""
    client = DurableTaskSchedulerClient(host_address=hub.address, secure_channel=False, taskhub=hub.name,
                                        token_credential=None, payload_store=store)
    yield client
    client.close()


def test_large_payloads_of_an_orchestration_pass_as_tokens(hub: Hub, store: Memory, client):
    def echo(_, given: str) -> str:
        return given

    def child(ctx: task.OrchestrationContext, given: str):
        return (yield ctx.call_activity(echo, input=given))

    def parent(ctx: task.OrchestrationContext, given: str):
        ctx.set_custom_status(given)
        heard = yield ctx.wait_for_external_event("say")
        return [(yield ctx.call_sub_orchestrator(child, input=given)) == given, heard == given, given]

    hub.worker(orchestrators=[parent, child], activities=[echo], payload_store=store)
    instance_id = client.schedule_new_orchestration(parent, input=LARGE)
    client.raise_orchestration_event(instance_id, "say", data=LARGE)
    state = client.wait_for_orchestration_completion(instance_id, timeout=30)
    assert state.get_output() == [True, True, LARGE]
    assert (state.get_input(), state.get_custom_status()) == (LARGE, LARGE)
    stored = hub.state(instance_id)
    tokens = [stored.input.value, stored.output.value, stored.customStatus.value]
    assert all(token in store.kept for token in tokens), "a token went in, and the same one came out"
    assert max(event.ByteSize() for event in hub.history(instance_id)) < 1000
    (raised,) = [event.name for event in client.get_orchestration_history(instance_id)
                 if type(event).__name__ == "EventRaisedEvent"]
    assert raised == "say"


def test_large_states_of_entities_pass_as_tokens(hub: Hub, store: Memory, client):
    name = hub.unique("shelf")

    def shelf(ctx, given):
        if ctx.operation == "put":
            ctx.set_state(given)
        return ctx.get_state(str)

    def reader(ctx: task.OrchestrationContext, _):
        return (yield ctx.call_entity(EntityInstanceId(name, "one"), "get"))

    worker = hub.new_worker(orchestrators=[reader], payload_store=store)
    worker.add_entity(shelf, name)
    worker.start()
    client.signal_entity(EntityInstanceId(name, "one"), "put", input=LARGE)
    instance_id = client.schedule_new_orchestration(reader)
    assert client.wait_for_orchestration_completion(instance_id, timeout=30).get_output() == LARGE
    assert client.get_entity(EntityInstanceId(name, "one")).get_typed_state(str) == LARGE
    assert hub.entity(f"@{name}@one").serializedState.value in store.kept


def test_a_worker_without_the_store_gets_the_token_itself(hub: Hub, store: Memory, client):
    name = hub.unique("tokens")
    worker = hub.raw_worker(orchestrations=[name])
    instance_id = client.schedule_new_orchestration(name, input=LARGE)
    turn = worker.turn(instance_id)
    token = turn.started().input.value
    assert token in store.kept
    worker.answer(turn, raw.complete(0, token))
    assert client.wait_for_orchestration_completion(instance_id, timeout=30).get_output() == LARGE
