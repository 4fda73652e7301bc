package longhaul.support;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.UnaryOperator;
import java.util.logging.Level;
import java.util.logging.Logger;

import org.junit.jupiter.api.function.Executable;

import com.microsoft.durabletask.DurableTaskClient;
import com.microsoft.durabletask.DurableTaskGrpcClientBuilder;
import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.GetInstanceRequest;
import com.microsoft.durabletask.implementation.protobuf.OrchestratorService.OrchestrationState;
import com.microsoft.durabletask.implementation.protobuf.TaskHubSidecarServiceGrpc;

import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.MetadataUtils;

/**
 * One task hub as a scenario sees it. The SDK's package for Azure's scheduler adds the hub's name and its own to every
 * call, and leaves the rest to the channel as it is; so do the channels here.
 */
public final class Hub implements AutoCloseable {
    // The SDK logs every failure that a scenario provokes. Loggers nobody holds forget their level.
    private static final Logger SDK_LOGGER = Logger.getLogger("com.microsoft.durabletask");

    static {
        SDK_LOGGER.setLevel(Level.OFF);
    }

    private final Server server;
    private final String name;
    private final ManagedChannel channel;
    private final DurableTaskClient client;
    private final List<Worker> workers = new CopyOnWriteArrayList<>();

    /** A hub of this name; the server makes it on its first use. */
    public Hub(Server server, String name) {
        this.server = server;
        this.name = name;
        channel = channel();
        client = new DurableTaskGrpcClientBuilder().grpcChannel(channel).build();
    }

    public DurableTaskClient client() {
        return client;
    }

    public String name() {
        return name;
    }

    /** Starts a worker, which runs until the end of the scenario. */
    public Worker worker(UnaryOperator<Worker.Functions> functions) {
        var worker = new Worker(functions.apply(new Worker.Functions()), channel());
        workers.add(worker);
        return worker;
    }

    public void stopWorkers() {
        workers.forEach(Worker::close);
        workers.clear();
    }

    @Override
    public void close() {
        stopWorkers();
        channel.shutdownNow();
    }

    /** An id no other scenario uses. */
    public static String unique(String name) {
        return name + "-" + UUID.randomUUID();
    }

    /** Starts an orchestration without input. */
    public String start(String orchestration) {
        return client.scheduleNewOrchestrationInstance(orchestration);
    }

    public String start(String orchestration, Object input) {
        return client.scheduleNewOrchestrationInstance(orchestration, input);
    }

    public OrchestrationMetadata state(String id) {
        return client.getInstanceMetadata(id, true);
    }

    /** The stored state as it is on the wire, for what the SDK does not show. */
    public OrchestrationState rawState(String id) {
        var request = GetInstanceRequest.newBuilder().setInstanceId(id).setGetInputsAndOutputs(true).build();
        return TaskHubSidecarServiceGrpc.newBlockingStub(channel).getInstance(request).getOrchestrationState();
    }

    /** Waits for the first turn. */
    public OrchestrationMetadata started(String id) {
        return Waiting.uninterrupted(() -> client.waitForInstanceStart(id, Waiting.PATIENCE, true));
    }

    /** Waits for any terminal status. */
    public OrchestrationMetadata ended(String id) {
        return Waiting.uninterrupted(() -> client.waitForInstanceCompletion(id, Waiting.PATIENCE, true));
    }

    /** Waits for this very terminal status. */
    public OrchestrationMetadata ended(String id, OrchestrationRuntimeStatus status) {
        var state = ended(id);
        assertEquals(status, state.getRuntimeStatus(), () -> id + ": " + state.getFailureDetails().getErrorMessage());
        return state;
    }

    /** Waits for COMPLETED and returns the output. */
    public <T> T completed(String id, Class<T> type) {
        return ended(id, OrchestrationRuntimeStatus.COMPLETED).readOutputAs(type);
    }

    /** Starts an orchestration and returns its output. */
    public <T> T run(String orchestration, Object input, Class<T> type) {
        return completed(start(orchestration, input), type);
    }

    /** Polls until the instance has this status, which need not be a terminal one. */
    public OrchestrationMetadata reaches(String id, OrchestrationRuntimeStatus status) {
        return Waiting.eventually(id + " in " + status, () -> state(id), state -> state.getRuntimeStatus() == status);
    }

    /** Polls until the instance has this custom status. */
    public void reports(String id, String customStatus) {
        Waiting.eventually(id + " with status " + customStatus, () -> state(id).readCustomStatusAs(String.class),
                customStatus::equals);
    }

    /** Expects a call to be refused with this status. */
    public static StatusRuntimeException refused(Status.Code code, Executable call) {
        var error = assertThrows(StatusRuntimeException.class, call);
        assertEquals(code, error.getStatus().getCode(), error.getMessage());
        return error;
    }

    private ManagedChannel channel() {
        var headers = new Metadata();
        headers.put(Metadata.Key.of("taskhub", Metadata.ASCII_STRING_MARSHALLER), name);
        headers.put(Metadata.Key.of("x-user-agent", Metadata.ASCII_STRING_MARSHALLER), "durabletask-java/1.5.0");
        return ManagedChannelBuilder.forAddress("127.0.0.1", server.port())
                .usePlaintext()
                .intercept(MetadataUtils.newAttachHeadersInterceptor(headers))
                .build();
    }
}
