package longhaul.support;

import java.time.Duration;

import com.microsoft.durabletask.DurableTaskGrpcWorkerBuilder;
import com.microsoft.durabletask.TaskActivity;
import com.microsoft.durabletask.TaskActivityFactory;
import com.microsoft.durabletask.TaskOrchestration;
import com.microsoft.durabletask.TaskOrchestrationFactory;

import io.grpc.ManagedChannel;

/**
 * A running worker of the SDK. It takes one work item at a time, on a thread of its own: an activity that blocks keeps
 * everything else this worker was sent waiting.
 */
public final class Worker implements AutoCloseable {
    private final ManagedChannel channel;
    private final Thread thread;

    /** What a worker can run. */
    public static final class Functions {
        private final DurableTaskGrpcWorkerBuilder builder = new DurableTaskGrpcWorkerBuilder();

        public Functions orchestration(String name, TaskOrchestration orchestration) {
            builder.addOrchestration(new TaskOrchestrationFactory() {
                @Override
                public String getName() {
                    return name;
                }

                @Override
                public TaskOrchestration create() {
                    return orchestration;
                }
            });
            return this;
        }

        public Functions activity(String name, TaskActivity activity) {
            builder.addActivity(new TaskActivityFactory() {
                @Override
                public String getName() {
                    return name;
                }

                @Override
                public TaskActivity create() {
                    return activity;
                }
            });
            return this;
        }

        /** The SDK makes a chain of timers of this length out of a longer one. */
        public Functions maximumTimerInterval(Duration interval) {
            builder.maximumTimerInterval(interval);
            return this;
        }
    }

    /** Starts a worker on a channel, which from now on is the worker's. */
    Worker(Functions functions, ManagedChannel channel) {
        this.channel = channel;
        var worker = functions.builder.grpcChannel(channel).build();
        thread = new Thread(worker::startAndBlock, "worker");
        thread.setDaemon(true);
        thread.start();
    }

    /** Cuts the connection, whatever the worker is doing. Work that it has at hand is not reported any more. */
    @Override
    public void close() {
        channel.shutdownNow();
        // The SDK ends its loop only if it is interrupted while it pauses between two connections.
        Waiting.eventually("the end of the worker's thread", () -> {
            thread.interrupt();
            return !thread.isAlive();
        });
    }
}
