// One `longhaul dev` process on loopback, with a data directory of its own; both gone after `stop`.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";

import { Empty, grpc, services } from "./sdk.mjs";

const READY_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 15_000;
const REPOSITORY = fileURLToPath(new URL("../../../../", import.meta.url));

function binary() {
  const named = process.env.LONGHAUL_BIN;
  const target = process.env.CARGO_TARGET_DIR || path.join(REPOSITORY, "target");
  const candidates = named ? [named] : ["release", "debug"].map((profile) => path.join(target, profile, "longhaul"));
  const found = candidates.find(existsSync);
  if (!found) throw new Error(`no server binary at ${candidates.join(" or ")}; build it or set LONGHAUL_BIN`);
  return found;
}

/** A loopback port nobody listens on. */
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function hello(address) {
  const client = new services.TaskHubSidecarServiceClient(address, grpc.credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const metadata = new grpc.Metadata();
  metadata.set("taskhub", "default");
  return new Promise((resolve, reject) => {
    client.hello(new Empty(), metadata, { deadline: Date.now() + 1000 }, (error) => {
      client.close();
      if (error) reject(error);
      else resolve();
    });
  });
}

/** Starts a server and returns `{ address, stop }` once it answers. */
export async function startServer() {
  const directory = await mkdtemp(path.join(tmpdir(), "longhaul-scenarios-"));
  const logPath = path.join(directory, "server.log");
  const [port, dashboardPort] = [await freePort(), await freePort()];
  const log = await open(logPath, "a");
  const process_ = spawn(
    binary(),
    ["dev", "--data", path.join(directory, "data"), "--port", `${port}`, "--dashboard-port", `${dashboardPort}`],
    { stdio: ["ignore", log.fd, log.fd], detached: true },
  );
  const ended = new Promise((resolve) => process_.once("exit", resolve).once("error", resolve));
  await log.close();
  // A test process that dies must not leave its server behind.
  const killOnExit = () => process_.kill("SIGKILL");
  process.once("exit", killOnExit);

  const stop = async () => {
    process_.kill("SIGTERM");
    const timer = setTimeout(killOnExit, STOP_WITHIN_MS);
    await ended;
    clearTimeout(timer);
    process.removeListener("exit", killOnExit);
    await rm(directory, { recursive: true, force: true });
  };

  const address = `127.0.0.1:${port}`;
  const deadline = Date.now() + READY_WITHIN_MS;
  for (;;) {
    try {
      await hello(address);
      return { address, stop };
    } catch (error) {
      if (process_.exitCode !== null || Date.now() > deadline) {
        const tail = (await readFile(logPath, "utf8")).slice(-4000);
        await stop();
        throw new Error(`the server does not answer (${error.message}):\n${tail}`);
      }
      await pause(20);
    }
  }
}
