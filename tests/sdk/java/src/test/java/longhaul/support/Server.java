package longhaul.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

import com.google.protobuf.Empty;
import com.microsoft.durabletask.implementation.protobuf.TaskHubSidecarServiceGrpc;

import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;

/** One {@code longhaul dev} process on loopback, with a data directory of its own; both gone after {@link #close}. */
public final class Server implements AutoCloseable {
    private static final Duration READY_WITHIN = Duration.ofSeconds(30);
    private static final Duration STOP_WITHIN = Duration.ofSeconds(15);

    private final Path directory;
    private final int port = freePort();
    private final Thread killer = new Thread(this::kill);
    private volatile Process process;

    /** Starts a server; it answers when this returns. */
    public Server() {
        try {
            directory = Files.createTempDirectory("longhaul-scenarios-");
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        // A test process that ends must not leave its server behind.
        Runtime.getRuntime().addShutdownHook(killer);
        try {
            start();
        } catch (RuntimeException error) {
            kill();
            Runtime.getRuntime().removeShutdownHook(killer);
            deleteDirectory();
            throw error;
        }
    }

    public int port() {
        return port;
    }

    /** Starts the process again, on the same data and port. */
    public void start() {
        var command = List.of(
                binary().toString(), "dev", "--data", directory.resolve("data").toString(), "--host", "127.0.0.1",
                "--port", Integer.toString(port), "--dashboard-port", "0");
        try {
            process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(log().toFile()))
                    .start();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        waitUntilReady();
    }

    /** SIGKILL: nothing is flushed, nobody is told. */
    public void kill() {
        var running = process;
        if (running != null) {
            running.destroyForcibly().onExit().join();
        }
    }

    /** SIGTERM, and the end of everything the server kept. */
    @Override
    public void close() {
        process.destroy();
        var ended = Waiting.uninterrupted(() -> process.waitFor(STOP_WITHIN.toMillis(), TimeUnit.MILLISECONDS));
        kill();
        Runtime.getRuntime().removeShutdownHook(killer);
        var tail = ended ? "" : logTail();
        deleteDirectory();
        if (!ended) {
            throw new AssertionError("the server did not stop within " + STOP_WITHIN + ":\n" + tail);
        }
    }

    private void waitUntilReady() {
        var deadline = System.nanoTime() + READY_WITHIN.toNanos();
        while (!answers()) {
            if (!process.isAlive() || System.nanoTime() > deadline) {
                throw new IllegalStateException("the server does not answer:\n" + logTail());
            }
            Waiting.uninterrupted(() -> {
                Thread.sleep(20);
                return null;
            });
        }
    }

    private boolean answers() {
        // A fresh channel each time: a failed one waits out a backoff of its own.
        var channel = ManagedChannelBuilder.forAddress("127.0.0.1", port).usePlaintext().build();
        try {
            TaskHubSidecarServiceGrpc.newBlockingStub(channel)
                    .withDeadlineAfter(1, TimeUnit.SECONDS)
                    .hello(Empty.getDefaultInstance());
            return true;
        } catch (StatusRuntimeException notYet) {
            return false;
        } finally {
            channel.shutdownNow();
        }
    }

    /** LONGHAUL_BIN, else this checkout's release or debug build. */
    private static Path binary() {
        var named = System.getenv("LONGHAUL_BIN");
        var repository = Path.of("").toAbsolutePath().resolve("../../..").normalize();
        var target = Optional.ofNullable(System.getenv("CARGO_TARGET_DIR")).filter(dir -> !dir.isEmpty());
        var built = target.map(Path::of).orElse(repository.resolve("target"));
        var candidates = named != null
                ? List.of(Path.of(named))
                : List.of(built.resolve("release/longhaul"), built.resolve("debug/longhaul"));
        return candidates.stream().filter(Files::isRegularFile).findFirst().orElseThrow(() -> new IllegalStateException(
                "no server binary at any of " + candidates + "; build it or set LONGHAUL_BIN"));
    }

    /**
     * A loopback port nobody listens on, below the range outgoing connections take theirs from: while the server is
     * down between two starts, no client may get it.
     */
    private static int freePort() {
        for (int attempt = 0; attempt < 200; attempt++) {
            var candidate = ThreadLocalRandom.current().nextInt(10_240, 32_768);
            try (var probe = new ServerSocket(candidate, 1, InetAddress.getLoopbackAddress())) {
                return probe.getLocalPort();
            } catch (IOException taken) {
                // The next one, then.
            }
        }
        throw new IllegalStateException("no free loopback port found");
    }

    private Path log() {
        return directory.resolve("server.log");
    }

    private String logTail() {
        try {
            var text = Files.readString(log());
            return text.substring(Math.max(0, text.length() - 4000));
        } catch (IOException none) {
            return "(no log)";
        }
    }

    private void deleteDirectory() {
        try (Stream<Path> tree = Files.walk(directory)) {
            for (var path : tree.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
