// A worker without the SDK, for answers the SDK never gives: late, twice, in part, or not at all.
//
// It takes only what it is asked for by name, and answers nothing unless a scenario does.

import assert from "node:assert/strict";

import { actions, build, pb, text } from "./sdk.mjs";
import { eventually } from "./waiting.mjs";

const COMPLETED = pb.OrchestrationStatus.ORCHESTRATION_STATUS_COMPLETED;

/** A filter for a name, or for a name in some versions. */
const filter = (Filter) => (wanted) => typeof wanted === "string"
  ? build(Filter, { name: wanted })
  : build(Filter, { name: wanted.name, versionsList: wanted.versions });

export class RawWorker {
  #items = [];

  constructor(stub, metadata, { orchestrations = [], activities = [], entities = [] }) {
    this.stub = stub;
    this.metadata = metadata;
    const workitemfilters = build(pb.WorkItemFilters, {
      orchestrationsList: orchestrations.map(filter(pb.OrchestrationFilter)),
      activitiesList: activities.map(filter(pb.ActivityFilter)),
      entitiesList: entities.map(filter(pb.EntityFilter)),
    });
    this.stream = stub.getWorkItems(build(pb.GetWorkItemsRequest, { workitemfilters }), metadata);
    this.stream.on("data", (item) => {
      if (!item.hasHealthping()) this.#items.push(item);
    });
    // A broken stream shows as an item that never comes.
    this.stream.on("error", () => {});
  }

  /** The next item, a turn of an orchestration. */
  turn() {
    return this.#next("orchestratorrequest");
  }

  /** The next item, an activity. */
  activity() {
    return this.#next("activityrequest");
  }

  /** The next item, a batch of operations for an entity, in the form that names its operations as events. */
  batch() {
    return this.#next("entityrequestv2");
  }

  /** How many items have come and not been looked at. */
  get unseen() {
    return this.#items.length;
  }

  answerTurn({ request, token }, ...actionsList) {
    return this.#call("completeOrchestratorTask", build(pb.OrchestratorResponse, {
      instanceid: request.getInstanceid(), completiontoken: token, actionsList,
    }));
  }

  /** Answers a turn with the end of the orchestration. */
  complete(turn, id, output) {
    return this.answerTurn(turn, actions.newCompleteOrchestrationAction(id, COMPLETED, JSON.stringify(output)));
  }

  /** Answers a batch: the state afterwards, undefined for none, and one result for each operation done. */
  answerBatch({ token }, { state, results = [], ...fields }) {
    return this.#call("completeEntityTask", build(pb.EntityBatchResult, {
      completiontoken: token, entitystate: text(state), ...fields,
      resultsList: results.map((result) => build(pb.OperationResult, {
        success: build(pb.OperationResultSuccess, { result: text(result) }),
      })),
    }));
  }

  abandonBatch({ token }) {
    return this.#call("abandonTaskEntityWorkItem", build(pb.AbandonEntityTaskRequest, { completiontoken: token }));
  }

  /** Loses the connection. */
  drop() {
    this.stream.cancel();
    this.stub.close();
  }

  async #next(kind) {
    const item = await eventually(() => this.#items.shift(), `an ${kind}`);
    const requests = item.toObject();
    assert.ok(requests[kind], `expected an ${kind}, got ${JSON.stringify(requests)}`);
    return { request: item[`get${kind[0].toUpperCase()}${kind.slice(1)}`](), token: item.getCompletiontoken() };
  }

  #call(rpc, request) {
    return new Promise((resolve, reject) => {
      this.stub[rpc](request, this.metadata, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  }
}
