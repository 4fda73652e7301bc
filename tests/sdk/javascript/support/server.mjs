// One `longhaul dev` process on loopback, with a data directory of its own; both gone after `stop`.

import { spawn } from "node:child_process";
import { randomInt } from "node:crypto";
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

/**
 * A loopback port nobody listens on, below the range that outgoing connections usually take theirs from: while the
 * server is down between two starts, one of the clients that keep reconnecting could take such a port.
 */
async function freePort() {
  for (let attempt = 0; attempt < 200; attempt++) {
    const port = randomInt(10_240, 32_768);
    if (await isFree(port)) return port;
  }
  throw new Error("no free loopback port found");
}

function isFree(port) {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
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

/** A process of the server: its end, and whether that has come. */
async function launch(directory, logPath, port, dashboardPort) {
  const log = await open(logPath, "a");
  const process_ = spawn(
    binary(),
    ["dev", "--data", path.join(directory, "data"), "--port", `${port}`, "--dashboard-port", `${dashboardPort}`],
    { stdio: ["ignore", log.fd, log.fd], detached: true },
  );
  const ended = new Promise((resolve) => process_.once("exit", resolve).once("error", resolve));
  await log.close();
  // A test process that dies must not leave its server behind.
  const kill = () => process_.kill("SIGKILL");
  process.once("exit", kill);
  ended.then(() => process.removeListener("exit", kill));
  return { process_, ended, kill };
}

/**
 * Starts a server and returns `{ address, kill, start, stop }` once it answers. `kill` flushes nothing and tells nobody;
 * `start` then goes on with the same data and port; `stop` is for good.
 */
export async function startServer() {
  const directory = await mkdtemp(path.join(tmpdir(), "longhaul-scenarios-"));
  const logPath = path.join(directory, "server.log");
  const [port, dashboardPort] = [await freePort(), await freePort()];
  const address = `127.0.0.1:${port}`;
  let running;

  const kill = async () => {
    running.kill();
    await running.ended;
  };
  const stop = async () => {
    running.process_.kill("SIGTERM");
    const timer = setTimeout(running.kill, STOP_WITHIN_MS);
    await running.ended;
    clearTimeout(timer);
    await rm(directory, { recursive: true, force: true });
  };
  const start = async () => {
    running = await launch(directory, logPath, port, dashboardPort);
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      try {
        return await hello(address);
      } catch (error) {
        if (running.process_.exitCode !== null || Date.now() > deadline) {
          const tail = (await readFile(logPath, "utf8")).slice(-4000);
          await stop();
          throw new Error(`the server does not answer (${error.message}):\n${tail}`);
        }
        await pause(20);
      }
    }
  };
  await start();
  return { address, kill, start, stop };
}
