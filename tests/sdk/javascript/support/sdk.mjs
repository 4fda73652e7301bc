// The official SDK and the gRPC library, from where run.sh installed them.

import { createRequire } from "node:module";

const installed = process.env.LONGHAUL_JS_MODULES;
const require = createRequire(installed ? `${installed}/scenarios.js` : import.meta.url);

export const sdk = require("@microsoft/durabletask-js");
export const grpc = require("@grpc/grpc-js");
export const pb = require("@microsoft/durabletask-js/dist/proto/orchestrator_service_pb.js");
export const services = require("@microsoft/durabletask-js/dist/proto/orchestrator_service_grpc_pb.js");
export const { Empty } = require("google-protobuf/google/protobuf/empty_pb.js");
export const { version } = require("@microsoft/durabletask-js/package.json");
