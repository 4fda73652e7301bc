package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.PENDING;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.RUNNING;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.SUSPENDED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.TERMINATED;
import static longhaul.support.Hub.refused;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeoutException;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.TaskOrchestration;

import io.grpc.Status;
import longhaul.support.SharedHub;
import longhaul.support.Waiting;

/** Suspending, terminating, restarting, and what an orchestration says of itself. */
class LifecycleScenarios extends SharedHub {
    private static final TaskOrchestration WAIT = ctx ->
            ctx.complete(ctx.waitForExternalEvent("go", String.class).await());

    @Test
    void events_wait_while_suspended() {
        hub.worker(w -> w.orchestration("wait", WAIT));
        var id = hub.start("wait");
        hub.started(id);
        hub.client().suspendInstance(id, "lunch");
        hub.reaches(id, SUSPENDED);
        hub.client().raiseEvent(id, "go", "patience");
        assertThrows(TimeoutException.class,
                () -> hub.client().waitForInstanceCompletion(id, Duration.ofMillis(300), false));
        assertEquals(SUSPENDED, hub.state(id).getRuntimeStatus());
        hub.client().resumeInstance(id, "fed");
        assertEquals("patience", hub.completed(id, String.class));
    }

    @Test
    void activities_of_a_suspended_orchestration_run_on() {
        var mayEnd = new CountDownLatch(1);
        var ended = new CountDownLatch(1);
        hub.worker(w -> w
                .activity("slow", ctx -> {
                    Waiting.await(mayEnd);
                    ended.countDown();
                    return "result";
                })
                .orchestration("busy", ctx -> {
                    var result = ctx.callActivity("slow", String.class).await();
                    ctx.setCustomStatus("went on");
                    ctx.complete(result);
                }));
        var id = hub.start("busy");
        hub.started(id);
        hub.client().suspendInstance(id);
        hub.reaches(id, SUSPENDED);
        mayEnd.countDown();
        Waiting.await(ended);
        assertThrows(TimeoutException.class,
                () -> hub.client().waitForInstanceCompletion(id, Duration.ofMillis(300), false));
        assertFalse(hub.state(id).isCustomStatusFetched());
        hub.client().resumeInstance(id);
        assertEquals("result", hub.completed(id, String.class));
    }

    @Test
    void suspending_and_resuming_do_no_harm_where_there_is_nothing_to_do() {
        hub.worker(w -> w.orchestration("wait", WAIT));
        var id = hub.start("wait");
        hub.started(id);
        hub.client().resumeInstance(id);
        hub.client().suspendInstance(id);
        hub.client().suspendInstance(id);
        hub.reaches(id, SUSPENDED);
        hub.client().resumeInstance(id);
        hub.reaches(id, RUNNING);
        hub.client().raiseEvent(id, "go", "on");
        assertEquals("on", hub.completed(id, String.class));
        hub.client().suspendInstance(id);
        hub.client().resumeInstance(id);
        assertEquals(COMPLETED, hub.state(id).getRuntimeStatus());
    }

    @Test
    void a_running_orchestration_is_terminated_with_the_given_output() {
        hub.worker(w -> w.orchestration("wait", WAIT));
        var id = hub.start("wait");
        hub.started(id);
        hub.client().terminate(id, Map.of("reason", List.of("late", "wet")));
        var state = hub.ended(id, TERMINATED);
        assertEquals(Map.of("reason", List.of("late", "wet")), state.readOutputAs(Map.class));
        // What comes later finds nothing left to do.
        hub.client().terminate(id, "again");
        hub.client().raiseEvent(id, "go", "too late");
        assertEquals(state.getSerializedOutput(), hub.state(id).getSerializedOutput());
        assertEquals(TERMINATED, hub.state(id).getRuntimeStatus());
    }

    @Test
    void a_suspended_orchestration_can_be_terminated() {
        hub.worker(w -> w.orchestration("wait", WAIT));
        var id = hub.start("wait");
        hub.started(id);
        hub.client().suspendInstance(id);
        hub.reaches(id, SUSPENDED);
        hub.client().terminate(id, null);
        assertEquals("", hub.ended(id, TERMINATED).getSerializedOutput());
    }

    @Test
    void an_instance_nobody_runs_can_be_terminated() {
        var id = hub.start("nobody-runs-this");
        assertEquals(PENDING, hub.state(id).getRuntimeStatus());
        hub.client().terminate(id, "never mind");
        assertEquals("never mind", hub.ended(id, TERMINATED).readOutputAs(String.class));
    }

    @Test
    void termination_spares_children() {
        // This SDK cannot ask for more.
        hub.worker(w -> w
                .orchestration("wait", WAIT)
                .orchestration("parent", ctx ->
                        ctx.callSubOrchestrator("wait", null, ctx.getInput(String.class), String.class).await()));
        var child = unique("child");
        var parent = hub.start("parent", child);
        hub.started(child);
        hub.client().terminate(parent, "enough");
        hub.ended(parent, TERMINATED);
        assertEquals(RUNNING, hub.state(child).getRuntimeStatus());
        hub.client().raiseEvent(child, "go", "orphaned");
        assertEquals("orphaned", hub.completed(child, String.class));
        assertEquals("enough", hub.state(parent).readOutputAs(String.class));
    }

    @Test
    void a_missing_instance_cannot_be_acted_on() {
        var missing = unique("missing");
        refused(Status.Code.NOT_FOUND, () -> hub.client().suspendInstance(missing));
        refused(Status.Code.NOT_FOUND, () -> hub.client().resumeInstance(missing));
        refused(Status.Code.NOT_FOUND, () -> hub.client().terminate(missing, null));
        assertFalse(hub.state(missing).isInstanceFound());
    }

    @Test
    void custom_status_follows_the_orchestration() {
        hub.worker(w -> w.orchestration("report", ctx -> {
            ctx.setCustomStatus(Map.of("done", 1));
            ctx.waitForExternalEvent("next").await();
            ctx.setCustomStatus(List.of("two", 2));
            ctx.waitForExternalEvent("next").await();
            ctx.clearCustomStatus();
            ctx.waitForExternalEvent("next").await();
            ctx.setCustomStatus("");
        }));
        var id = hub.start("report");
        assertEquals(Map.of("done", 1), hub.started(id).readCustomStatusAs(Map.class));
        hub.client().raiseEvent(id, "next");
        Waiting.eventually("the second status", () -> hub.rawState(id).getCustomStatus().getValue(),
                "[\"two\",2]"::equals);
        hub.client().raiseEvent(id, "next");
        Waiting.eventually("no status", () -> !hub.state(id).isCustomStatusFetched());
        assertFalse(hub.rawState(id).hasCustomStatus());
        hub.client().raiseEvent(id, "next");
        // Empty text is a status; it is its JSON that is stored.
        assertEquals("", hub.ended(id, COMPLETED).readCustomStatusAs(String.class));
    }

    @Test
    void a_restart_under_the_same_id_begins_anew_with_the_same_input() {
        hub.worker(w -> w.orchestration("greet", ctx -> {
            var mark = ctx.waitForExternalEvent("mark", String.class).await();
            ctx.complete("hello " + ctx.getInput(String.class) + mark);
        }));
        var id = hub.start("greet", "world");
        hub.client().raiseEvent(id, "mark", "!");
        assertEquals("hello world!", hub.completed(id, String.class));
        var created = hub.state(id).getCreatedAt();

        assertEquals(id, hub.client().restartInstance(id, false));
        refused(Status.Code.ALREADY_EXISTS, () -> hub.client().restartInstance(id, false));
        hub.client().raiseEvent(id, "mark", "?");
        assertEquals("hello world?", hub.completed(id, String.class));
        assertTrue(hub.state(id).getCreatedAt().isAfter(created));
    }

    @Test
    void a_restart_under_a_new_id_leaves_the_old_instance_alone() {
        hub.worker(w -> w.orchestration("greet", ctx -> ctx.complete("hello " + ctx.getInput(String.class))));
        var id = hub.start("greet", "moon");
        var state = hub.ended(id, COMPLETED);
        var other = hub.client().restartInstance(id, true);
        assertNotEquals(id, other);
        assertEquals("hello moon", hub.completed(other, String.class));
        assertEquals(state.getLastUpdatedAt(), hub.state(id).getLastUpdatedAt());
        assertThrows(IllegalArgumentException.class, () -> hub.client().restartInstance(unique("missing"), true));
    }
}
