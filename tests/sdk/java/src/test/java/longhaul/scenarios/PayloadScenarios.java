package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.FAILED;
import static longhaul.support.Hub.refused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.TaskFailedException;

import io.grpc.Status;
import longhaul.support.SharedHub;

/** Payloads and histories near their limits; the SDK takes and sends messages of up to 4 MiB, in one piece. */
class PayloadScenarios extends SharedHub {
    private static final int KIB = 1024;
    /** The server's limit for one payload, less the quotes of JSON. */
    private static final int LARGEST = KIB * KIB - 2;

    private static String text(int length) {
        return "ab".repeat(length / 2);
    }

    @Test
    void the_largest_payload_arrives_whole() {
        hub.worker(w -> w
                .activity("echo", ctx -> ctx.getInput(String.class))
                .orchestration("carry", ctx ->
                        ctx.complete(ctx.callActivity("echo", ctx.getInput(String.class), String.class).await())));
        assertEquals(text(LARGEST), hub.run("carry", text(LARGEST), String.class));
    }

    @Test
    void a_history_of_more_than_a_mebibyte_comes_whole_with_every_turn() {
        hub.worker(w -> w
                .activity("fill", ctx -> text(300 * KIB))
                .orchestration("grow", ctx -> {
                    var total = 0;
                    for (int step = 0; step < 8; step++) {
                        total += ctx.callActivity("fill", step, String.class).await().length();
                    }
                    ctx.complete(total);
                }));
        assertEquals(8 * 300 * KIB, hub.run("grow", null, Integer.class));
    }

    @Test
    void a_turn_may_decide_more_than_a_mebibyte() {
        hub.worker(w -> w
                .activity("measure", ctx -> ctx.getInput(String.class).length())
                .orchestration("spread", ctx -> {
                    var lengths = IntStream.range(0, 12)
                            .mapToObj(n -> ctx.callActivity("measure", text(200 * KIB), Integer.class))
                            .toList();
                    ctx.complete(ctx.allOf(lengths).await().stream().mapToInt(Integer::intValue).sum());
                }));
        assertEquals(12 * 200 * KIB, hub.run("spread", null, Integer.class));
    }

    @Test
    void a_payload_over_the_limit_is_refused() {
        var refusal = refused(Status.Code.INVALID_ARGUMENT, () -> hub.start("any", text(LARGEST + 2)));
        assertTrue(refusal.getMessage().contains("1048576"), refusal.getMessage());
        hub.worker(w -> w.orchestration("wait", ctx ->
                ctx.complete(ctx.waitForExternalEvent("data", String.class).await())));
        var id = hub.start("wait");
        refused(Status.Code.INVALID_ARGUMENT, () -> hub.client().raiseEvent(id, "data", text(LARGEST + 2)));
        // Refused means not delivered.
        hub.client().raiseEvent(id, "data", "small");
        assertEquals("small", hub.completed(id, String.class));
    }

    @Test
    void a_result_over_the_limit_fails_the_task_instead_of_hanging() {
        hub.worker(w -> w
                .activity("boast", ctx -> text(LARGEST + 2))
                .orchestration("listen", ctx -> {
                    try {
                        ctx.callActivity("boast", String.class).await();
                    } catch (TaskFailedException failed) {
                        ctx.complete(failed.getErrorDetails().getErrorMessage());
                    }
                }));
        var message = hub.run("listen", null, String.class);
        assertTrue(message.contains("1048576"), message);
    }

    @Test
    void an_output_over_the_limit_fails_the_orchestration_instead_of_hanging() {
        hub.worker(w -> w.orchestration("boast", ctx -> ctx.complete(text(LARGEST + 2))));
        var details = hub.ended(hub.start("boast"), FAILED).getFailureDetails();
        assertTrue(details.getErrorMessage().contains("1048576"), details.getErrorMessage());
        assertFalse(details.getErrorType().isEmpty());
    }
}
