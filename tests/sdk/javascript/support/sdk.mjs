// The official SDK and the gRPC library, from where run.sh installed them.

import { createRequire } from "node:module";

const installed = process.env.LONGHAUL_JS_MODULES;
const require = createRequire(installed ? `${installed}/scenarios.js` : import.meta.url);

export const sdk = require("@microsoft/durabletask-js");
export const grpc = require("@grpc/grpc-js");
export const pb = require("@microsoft/durabletask-js/dist/proto/orchestrator_service_pb.js");
export const services = require("@microsoft/durabletask-js/dist/proto/orchestrator_service_grpc_pb.js");
export const { Empty } = require("google-protobuf/google/protobuf/empty_pb.js");
export const { StringValue, Int32Value } = require("google-protobuf/google/protobuf/wrappers_pb.js");
export const { Timestamp } = require("google-protobuf/google/protobuf/timestamp_pb.js");
export const actions = require("@microsoft/durabletask-js/dist/utils/pb-helper.util.js");
export const { version } = require("@microsoft/durabletask-js/package.json");

/** A protobuf message with these fields, named as the generated setters name them. */
export function build(Message, fields) {
  const message = new Message();
  for (const [name, value] of Object.entries(fields)) message[`set${name[0].toUpperCase()}${name.slice(1)}`](value);
  return message;
}

/** A text that may be absent: undefined stays undefined. */
export function text(value) {
  return value === undefined ? undefined : build(StringValue, { value });
}
