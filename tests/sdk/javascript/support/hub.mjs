// A task hub as a scenario sees it.
//
// The SDK's package for Azure's scheduler is not in the public registry; it only turns a connection string into the
// headers below and a retry policy, which is what this file does, so the SDK behaves on the wire as it does there.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { after, afterEach, before } from "node:test";

import { build, grpc, pb, sdk, services, text, version } from "./sdk.mjs";
import { RawWorker } from "./raw-worker.mjs";
import { startServer } from "./server.mjs";
import { DEADLINE_S, eventually, settles } from "./waiting.mjs";

const TASK_HUB = "default";

const CHANNEL_OPTIONS = {
  "grpc.max_receive_message_length": -1,
  "grpc.max_send_message_length": -1,
  "grpc.service_config": JSON.stringify({
    methodConfig: [{
      name: [{}],
      retryPolicy: {
        maxAttempts: 10, initialBackoff: "0.05s", maxBackoff: "0.25s", backoffMultiplier: 2,
        retryableStatusCodes: ["UNAVAILABLE"],
      },
    }],
  }),
};

const headers = (role, extra = {}) => async () => {
  const metadata = new grpc.Metadata();
  metadata.set("taskhub", TASK_HUB);
  metadata.set("x-user-agent", `durabletask-js/${version} (${role})`);
  for (const [name, value] of Object.entries(extra)) metadata.set(name, value);
  return metadata;
};

const logger = new sdk.NoOpLogger();

const TERMINAL = [
  sdk.OrchestrationStatus.COMPLETED, sdk.OrchestrationStatus.FAILED, sdk.OrchestrationStatus.TERMINATED,
];

function newStub(address, options = {}) {
  return new services.TaskHubSidecarServiceClient(
    address, grpc.credentials.createInsecure(), { ...CHANNEL_OPTIONS, ...options });
}

function newWorkerId() {
  return `${hostname()},${process.pid},${randomUUID().replaceAll("-", "")}`;
}

class Hub {
  constructor(server) {
    this.server = server;
    this.address = server.address;
    this.client = this.newClient();
    this.stub = newStub(this.address);
    this.workers = [];
    this.rawWorkers = [];
  }

  /** Another client with a connection of its own; whoever asked stops it. */
  newClient() {
    return new sdk.TaskHubGrpcClient({
      hostAddress: this.address, logger, metadataGenerator: headers("DurableTaskClient"),
      options: { ...CHANNEL_OPTIONS, "grpc.use_local_subchannel_pool": 1 },
    });
  }

  /** Starts a worker for these functions and classes of entities, registered under their own names. */
  async worker(registrations) {
    const worker = await this.startWorker(registrations);
    this.workers.push(worker);
    return worker;
  }

  /** As `worker`, but the scenario's end does not stop it. */
  async startWorker({ orchestrators = [], activities = [], entities = [], ...options }) {
    const worker = new sdk.TaskHubGrpcWorker({
      hostAddress: this.address, options: CHANNEL_OPTIONS, logger, shutdownTimeoutMs: 2000,
      metadataGenerator: headers("DurableTaskWorker", { workerid: newWorkerId() }), ...options,
    });
    for (const orchestrator of orchestrators) worker.addOrchestrator(orchestrator);
    for (const activity of activities) worker.addActivity(activity);
    for (const Entity of entities) worker.addNamedEntity(Entity.name, () => new Entity());
    await worker.start();
    return worker;
  }

  /** Stops one worker now. */
  async stopWorker(worker) {
    this.workers = this.workers.filter((other) => other !== worker);
    await worker.stop();
  }

  /** Starts a worker without the SDK for what is named; see `RawWorker`. */
  async rawWorker(names) {
    const metadata = await headers("DurableTaskWorker", { workerid: newWorkerId() })();
    // A connection of its own, so that dropping it is a worker lost and nothing else.
    const worker = new RawWorker(newStub(this.address, { "grpc.use_local_subchannel_pool": 1 }), metadata, names);
    this.rawWorkers.push(worker);
    return worker;
  }

  async stopWorkers() {
    for (const worker of this.rawWorkers.splice(0)) worker.drop();
    await Promise.all(this.workers.splice(0).map((worker) => worker.stop()));
  }

  async close() {
    this.stub.close();
    await this.client.stop();
  }

  /** A name or id no other scenario uses. */
  unique(name) {
    return `${name}-${randomUUID().slice(0, 13)}`;
  }

  start(orchestrator, input, options) {
    return this.client.scheduleNewOrchestration(orchestrator, input, options);
  }

  /** Waits for any terminal status. */
  ended(id) {
    return this.client.waitForOrchestrationCompletion(id, true, DEADLINE_S);
  }

  /** Waits for COMPLETED and returns the output. */
  async completed(id) {
    const state = await this.ended(id);
    assert.equal(
      state.runtimeStatus, sdk.OrchestrationStatus.COMPLETED,
      `${sdk.OrchestrationStatus[state.runtimeStatus]}: ${state.failureDetails?.message}`);
    return state.serializedOutput === undefined ? undefined : JSON.parse(state.serializedOutput);
  }

  /** Waits for FAILED and returns the failure's details. */
  async failed(id) {
    const state = await this.ended(id);
    assert.equal(state.runtimeStatus, sdk.OrchestrationStatus.FAILED, `output: ${state.serializedOutput}`);
    return state.failureDetails;
  }

  async run(orchestrator, input, options) {
    return this.completed(await this.start(orchestrator, input, options));
  }

  state(id) {
    return this.client.getOrchestrationState(id, true);
  }

  /** Waits until the instance has this status and returns its state; fails at once if it ended differently. */
  async reaches(id, status) {
    return eventually(async () => {
      const state = await this.state(id);
      if (state?.runtimeStatus === status) return state;
      if (TERMINAL.includes(state?.runtimeStatus)) this.endedEarly(state);
    }, `${id} in ${sdk.OrchestrationStatus[status]}`);
  }

  /** Waits until the orchestration's custom status is this; fails at once if it ended before. */
  async says(id, customStatus) {
    const wanted = JSON.stringify(customStatus);
    await eventually(async () => {
      const state = await this.state(id);
      if (state?.serializedCustomStatus === wanted) return true;
      if (TERMINAL.includes(state?.runtimeStatus)) this.endedEarly(state);
    }, `${id} with the custom status ${wanted}`);
  }

  endedEarly(state) {
    const { failureDetails, instanceId, runtimeStatus } = state;
    assert.fail(`${instanceId} is ${sdk.OrchestrationStatus[runtimeStatus]}: ${failureDetails?.message}`);
  }

  /** The stored state as it is on the wire, for what the SDK does not show. */
  async rawState(id, getinputsandoutputs = true) {
    const request = build(pb.GetInstanceRequest, { instanceid: id, getinputsandoutputs });
    return (await this.call("getInstance", request)).getOrchestrationstate();
  }

  async executionId(id) {
    return (await this.rawState(id)).getExecutionid().getValue();
  }

  history(id) {
    return this.client.getOrchestrationHistory(id);
  }

  /** The chunks in which a history is streamed. */
  async historyChunks(fields) {
    const metadata = await headers("DurableTaskClient")();
    const options = { deadline: Date.now() + DEADLINE_S * 1000 };
    const stream = this.stub.streamInstanceHistory(build(pb.StreamInstanceHistoryRequest, fields), metadata, options);
    const chunks = [];
    for await (const chunk of stream) chunks.push(chunk);
    return chunks;
  }

  /** The id of an entity no other scenario uses. */
  newEntity(Entity) {
    return new sdk.EntityInstanceId(Entity.name, this.unique("key"));
  }

  signal(entity, operation, input, options) {
    return this.client.signalEntity(entity, operation, input, options);
  }

  /** The entity's state, undefined if it has none. */
  async entityState(entity) {
    return (await this.client.getEntity(entity))?.state;
  }

  /** Waits until the entity's state is this. */
  entitySettles(entity, expected) {
    return settles(() => this.entityState(entity), expected);
  }

  /** What is known of an entity as it is on the wire, undefined if it does not exist. */
  async rawEntity(id, includestate = true) {
    const request = build(pb.GetEntityRequest, { instanceid: `${id}`, includestate });
    const answer = await this.call("getEntity", request);
    assert.equal(answer.hasEntity(), answer.getExists());
    return answer.getEntity();
  }

  /** The one entity with this id in a query that shows entities without state too. */
  async transientEntity(id) {
    const query = build(pb.EntityQuery, {
      instanceidstartswith: text(`${id}`), includestate: true, includetransient: true,
    });
    const answer = await this.call("queryEntities", build(pb.QueryEntitiesRequest, { query }));
    return answer.getEntitiesList().find((entity) => entity.getInstanceid() === `${id}`);
  }

  /** Waits until this instance, or nobody if undefined, holds the entity's lock. */
  lockedBy(id, holder) {
    return settles(async () => (await this.transientEntity(id))?.getLockedby()?.getValue(), holder);
  }

  /** Waits until so many operations wait at the entity. */
  async backlog(id, size) {
    await settles(async () => (await this.transientEntity(id))?.getBacklogqueuesize() ?? 0, size);
  }

  /** One unary call of the sidecar service. */
  async call(rpc, request) {
    const metadata = await headers("DurableTaskClient")();
    return new Promise((resolve, reject) => {
      this.stub[rpc](request, metadata, { deadline: Date.now() + DEADLINE_S * 1000 }, (error, answer) =>
        error ? reject(error) : resolve(answer));
    });
  }

  /** Expects a promise to be refused with this gRPC status; returns the error. */
  async refused(promise, code) {
    let error;
    await promise.then(() => {}, (reason) => { error = reason; });
    assert.ok(error, "the call was accepted");
    assert.equal(error.code, code, `${error.message}`);
    return error;
  }
}

/**
 * Gives a scenario file a server of its own and a hub on it, and every scenario a clean set of workers.
 * What `shared` registers is served by one worker for the whole file; it takes nothing else.
 * Returns a proxy that stands for the hub once the scenarios run.
 */
export function useHub(shared) {
  let server;
  let hub;
  let worker;
  before(async () => {
    server = await startServer();
    hub = new Hub(server);
    if (shared) worker = await hub.startWorker({ workItemFilters: "auto", ...shared });
  });
  afterEach(() => hub.stopWorkers());
  after(async () => {
    await Promise.all([worker?.stop(), hub?.close()]);
    await server?.stop();
  });
  return new Proxy({}, {
    get(_, property) {
      const value = hub[property];
      return typeof value === "function" ? value.bind(hub) : value;
    },
  });
}
