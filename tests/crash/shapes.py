"""The orchestrations of the load, and what each must return. Used by the worker that runs them and by the checks.

Every activity returns its value and a nonce of this very run of it; the nonces travel into the output. So the output
of an orchestration tells which runs its history rests on, and the effect ledger tells which runs there were.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from durabletask import task

Context = task.OrchestrationContext

RENEW_AFTER = 5


def work(key: str, number: int) -> dict[str, Any]:
    """The input of the activity `effect`."""
    return {"key": key, "number": number}


def steps(ctx: Context, count: int):
    """Activities one after the other."""
    results = []
    for number in range(count):
        results.append((yield ctx.call_activity("effect", input=work(f"step-{number}", number))))
    return results


def fan(ctx: Context, count: int):
    """Activities side by side."""
    return (yield task.when_all(
        [ctx.call_activity("effect", input=work(f"fan-{number}", number)) for number in range(count)]))


def naps(ctx: Context, milliseconds: list):
    """Timers one after the other, each followed by an activity."""
    results = []
    for number, duration in enumerate(milliseconds):
        yield ctx.create_timer(timedelta(milliseconds=duration))
        results.append((yield ctx.call_activity("effect", input=work(f"nap-{number}", number))))
    return results


def family(ctx: Context, sizes: list):
    """Children side by side, each with activities of its own."""
    return (yield task.when_all(
        [ctx.call_sub_orchestrator(steps, input=size, instance_id=f"{ctx.instance_id}.{number}")
         for number, size in enumerate(sizes)]))


def generations(ctx: Context, state: dict):
    """An activity for each generation, `left` generations long."""
    result = yield ctx.call_activity("effect", input=work(f"generation-{len(state['results'])}", state["left"]))
    state["results"].append(result)
    state["left"] -= 1
    if state["left"] == 0:
        return state["results"]
    ctx.continue_as_new(state)


def collector(ctx: Context, _: Any):
    """Returns what every event carried, until one carries nothing."""
    received = []
    while (event := (yield ctx.wait_for_external_event("add"))) is not None:
        received.append(event)
    return received


def renewing_collector(ctx: Context, received: list):
    """As `collector`, starting a new generation every few events."""
    for _ in range(RENEW_AFTER):
        event = yield ctx.wait_for_external_event("add")
        if event is None:
            return received
        received.append(event)
    ctx.continue_as_new(received, save_events=True)


def relay(ctx: Context, order: dict):
    """Sends events to a collector, some before and some after an activity, and then the one that ends it."""
    for event in order["before"]:
        ctx.send_event(order["to"], "add", data=event)
    result = yield ctx.call_activity("effect", input=work("relay", 0))
    for event in order["after"]:
        ctx.send_event(order["to"], "add", data=event)
    ctx.send_event(order["to"], "add")
    return [result]


ALL = [steps, fan, naps, family, generations, collector, renewing_collector, relay]


def expected_numbers(shape: str, given: Any) -> list[int]:
    """The numbers the activities of this orchestration must have returned, in output order."""
    match shape:
        case "steps" | "fan":
            return list(range(given))
        case "naps":
            return list(range(len(given)))
        case "family":
            return [number for size in given for number in range(size)]
        case "generations":
            return list(range(given["left"], 0, -1))
        case "relay":
            return [0]
        case _:
            raise ValueError(f"{shape} runs no activities")


def results_of(shape: str, output: Any) -> list[dict[str, Any]]:
    """The activity results in an output, in order."""
    return [result for child in output for result in child] if shape == "family" else output
