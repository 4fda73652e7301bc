// A task hub as a scenario sees it.
//
// The SDK's package for Azure's scheduler is not in the public registry; it only turns a connection string into the
// headers below and a retry policy, which is what this file does, so the SDK behaves on the wire as it does there.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { after, afterEach, before } from "node:test";

import { grpc, pb, sdk, services, version } from "./sdk.mjs";
import { startServer } from "./server.mjs";
import { DEADLINE_S, eventually } from "./waiting.mjs";

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

class Hub {
  constructor(address) {
    this.address = address;
    this.client = new sdk.TaskHubGrpcClient({
      hostAddress: address, options: CHANNEL_OPTIONS, logger, metadataGenerator: headers("DurableTaskClient"),
    });
    this.stub = new services.TaskHubSidecarServiceClient(address, grpc.credentials.createInsecure(), CHANNEL_OPTIONS);
    this.workers = [];
  }

  /** Starts a worker for these functions, registered under their own names. */
  async worker({ orchestrators = [], activities = [], ...options }) {
    const workerId = `${hostname()},${process.pid},${randomUUID().replaceAll("-", "")}`;
    const worker = new sdk.TaskHubGrpcWorker({
      hostAddress: this.address, options: CHANNEL_OPTIONS, logger, shutdownTimeoutMs: 2000,
      metadataGenerator: headers("DurableTaskWorker", { workerid: workerId }), ...options,
    });
    for (const orchestrator of orchestrators) worker.addOrchestrator(orchestrator);
    for (const activity of activities) worker.addActivity(activity);
    await worker.start();
    this.workers.push(worker);
    return worker;
  }

  /** Stops one worker now. */
  async stopWorker(worker) {
    this.workers = this.workers.filter((other) => other !== worker);
    await worker.stop();
  }

  async stopWorkers() {
    const workers = this.workers;
    this.workers = [];
    await Promise.all(workers.map((worker) => worker.stop()));
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

  async run(orchestrator, input, options) {
    return this.completed(await this.start(orchestrator, input, options));
  }

  state(id) {
    return this.client.getOrchestrationState(id, true);
  }

  /** Waits until the instance has this status and returns its state. */
  async reaches(id, status) {
    await eventually(
      async () => (await this.state(id))?.runtimeStatus === status, `${id} in ${sdk.OrchestrationStatus[status]}`);
    return this.state(id);
  }

  /** The stored state as it is on the wire, for what the SDK does not show. */
  async rawState(id) {
    const request = new pb.GetInstanceRequest();
    request.setInstanceid(id);
    request.setGetinputsandoutputs(true);
    return (await this.call("getInstance", request)).getOrchestrationstate();
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
 * Returns a proxy that stands for the hub once the scenarios run.
 */
export function useHub() {
  let server;
  let hub;
  before(async () => {
    server = await startServer();
    hub = new Hub(server.address);
  });
  afterEach(() => hub.stopWorkers());
  after(async () => {
    await hub?.close();
    await server?.stop();
  });
  return new Proxy({}, {
    get(_, property) {
      const value = hub[property];
      return typeof value === "function" ? value.bind(hub) : value;
    },
  });
}
