package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.FAILED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.RUNNING;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.TERMINATED;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.RetryPolicy;
import com.microsoft.durabletask.TaskFailedException;
import com.microsoft.durabletask.TaskOptions;

import longhaul.support.SharedHub;

/** Sub-orchestrations. */
class ChildScenarios extends SharedHub {
    @Test
    void a_child_runs_under_the_id_it_was_given() {
        hub.worker(w -> w
                .orchestration("double", ctx -> ctx.complete(2 * ctx.getInput(Integer.class)))
                .orchestration("parent", ctx -> ctx.complete(ctx.callSubOrchestrator(
                        "double", 21, ctx.getInstanceId() + "/child", Integer.class).await())));
        var id = hub.start("parent");
        assertEquals(42, hub.completed(id, Integer.class));
        var child = hub.state(id + "/child");
        assertEquals("double", child.getName());
        assertEquals(42, child.readOutputAs(Integer.class));
    }

    @Test
    void made_up_ids_of_children_do_not_collide() {
        hub.worker(w -> w
                .orchestration("who", ctx -> ctx.complete(ctx.getInstanceId()))
                .orchestration("parent", ctx -> {
                    var children = IntStream.range(0, 10)
                            .mapToObj(n -> ctx.callSubOrchestrator("who", n, String.class))
                            .toList();
                    ctx.complete(ctx.allOf(children).await());
                }));
        List<?> ids = hub.run("parent", null, List.class);
        assertEquals(10, new HashSet<>(ids).size());
        for (var id : ids) {
            assertEquals(id, UUID.fromString((String) id).toString());
            assertEquals(COMPLETED, hub.state((String) id).getRuntimeStatus());
        }
    }

    @Test
    void nesting_five_deep() {
        hub.worker(w -> w.orchestration("nest", ctx -> {
            int depth = ctx.getInput(Integer.class);
            if (depth == 0) {
                ctx.complete(".");
            } else {
                ctx.complete("(" + ctx.callSubOrchestrator("nest", depth - 1, String.class).await() + ")");
            }
        }));
        assertEquals("(((((.)))))", hub.run("nest", 5, String.class));
    }

    @Test
    void a_failing_child_fails_its_parents_task() {
        hub.worker(w -> w
                .orchestration("child", ctx -> {
                    throw new IllegalStateException("homework eaten");
                })
                .orchestration("parent", ctx -> {
                    try {
                        ctx.callSubOrchestrator("child", null, Void.class).await();
                    } catch (TaskFailedException failed) {
                        ctx.complete(failed.getTaskName() + ", " + failed.getErrorDetails().getErrorType() + ", "
                                + failed.getErrorDetails().getErrorMessage());
                    }
                }));
        assertEquals("child, java.lang.IllegalStateException, homework eaten", hub.run("parent", null, String.class));
    }

    @Test
    void a_failed_child_is_retried_under_its_id() {
        var attempts = new AtomicInteger();
        var ids = new ConcurrentSkipListSet<String>();
        hub.worker(w -> w
                .orchestration("flaky", ctx -> {
                    ids.add(ctx.getInstanceId());
                    if (attempts.incrementAndGet() < 3) {
                        throw new IllegalStateException("not yet");
                    }
                    ctx.complete("grown up");
                })
                .orchestration("parent", ctx -> ctx.complete(ctx.callSubOrchestrator("flaky", null, null,
                        new TaskOptions(new RetryPolicy(5, Duration.ofMillis(10))), String.class).await())));
        assertEquals("grown up", hub.run("parent", null, String.class));
        assertEquals(3, attempts.get());
        assertEquals(1, ids.size(), "ids " + ids);
        assertEquals(COMPLETED, hub.state(ids.first()).getRuntimeStatus());
    }

    @Test
    void a_handler_ends_the_retries_of_a_child() {
        var attempts = new AtomicInteger();
        hub.worker(w -> w
                .orchestration("hopeless", ctx -> {
                    throw new IllegalStateException("attempt " + attempts.incrementAndGet());
                })
                .orchestration("parent", ctx -> {
                    var options = new TaskOptions(retry -> retry.getLastAttemptNumber() < 2
                            && retry.getLastFailure().isCausedBy(IllegalStateException.class));
                    ctx.callSubOrchestrator("hopeless", null, null, options).await();
                }));
        var details = hub.ended(hub.start("parent"), FAILED).getFailureDetails();
        assertTrue(details.getErrorMessage().contains("attempt 2"), details.getErrorMessage());
        assertEquals(2, attempts.get());
    }

    @Test
    void a_child_id_in_use_fails_the_task_instead_of_hanging() {
        hub.worker(w -> w
                .orchestration("wait", ctx -> ctx.waitForExternalEvent("go").await())
                .orchestration("parent", ctx -> {
                    try {
                        ctx.callSubOrchestrator("wait", null, ctx.getInput(String.class), Void.class).await();
                    } catch (TaskFailedException failed) {
                        ctx.complete(failed.getTaskName());
                    }
                }));
        var taken = unique("taken");
        hub.client().scheduleNewOrchestrationInstance("wait", null, taken);
        hub.started(taken);
        assertEquals("wait", hub.run("parent", taken, String.class));
        assertEquals(RUNNING, hub.state(taken).getRuntimeStatus());
        hub.client().raiseEvent(taken, "go");
        hub.ended(taken, COMPLETED);
    }

    @Test
    void a_terminated_child_fails_its_parents_task() {
        hub.worker(w -> w
                .orchestration("wait", ctx -> ctx.waitForExternalEvent("go").await())
                .orchestration("parent", ctx -> {
                    try {
                        ctx.callSubOrchestrator("wait", null, ctx.getInput(String.class), Void.class).await();
                    } catch (TaskFailedException failed) {
                        ctx.complete("bereft");
                    }
                }));
        var child = unique("child");
        var parent = hub.start("parent", child);
        hub.started(child);
        hub.client().terminate(child, "enough");
        assertEquals("bereft", hub.completed(parent, String.class));
        assertEquals(TERMINATED, hub.state(child).getRuntimeStatus());
    }
}
