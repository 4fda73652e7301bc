package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.FAILED;
import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.CompositeTaskFailedException;
import com.microsoft.durabletask.RetryPolicy;
import com.microsoft.durabletask.Task;
import com.microsoft.durabletask.TaskFailedException;
import com.microsoft.durabletask.TaskOptions;

import longhaul.support.SharedHub;

/** Activities: their order, results, failures and retries. */
class ActivityScenarios extends SharedHub {
    @Test
    void steps_run_in_order_and_pass_results_on() {
        hub.worker(w -> w
                .activity("append", ctx -> {
                    var path = ctx.getInput(String.class);
                    return path + path.length();
                })
                .orchestration("chain", ctx -> {
                    var path = "";
                    for (int step = 0; step < 6; step++) {
                        path = ctx.callActivity("append", path, String.class).await();
                    }
                    ctx.complete(path);
                }));
        assertEquals("012345", hub.run("chain", null, String.class));
    }

    @Test
    void fan_out_collects_results_in_call_order() {
        hub.worker(w -> w
                .activity("square", ctx -> ctx.getInput(Integer.class) * ctx.getInput(Integer.class))
                .orchestration("spread", ctx -> {
                    var squares = IntStream.range(0, ctx.getInput(Integer.class))
                            .mapToObj(n -> ctx.callActivity("square", n, Integer.class))
                            .toList();
                    ctx.complete(ctx.allOf(squares).await());
                }));
        assertEquals(IntStream.range(0, 50).mapToObj(n -> n * n).toList(), hub.run("spread", 50, List.class));
    }

    @Test
    void the_first_of_two_tasks_decides() {
        hub.worker(w -> w
                .activity("quick", ctx -> "quick")
                .orchestration("race", ctx -> {
                    var quick = ctx.callActivity("quick", String.class);
                    var never = ctx.waitForExternalEvent("never", String.class);
                    var winner = ctx.anyOf(never, quick).await();
                    ctx.complete(winner == quick ? quick.await() : "the wrong one");
                }));
        assertEquals("quick", hub.run("race", null, String.class));
    }

    @Test
    void an_activity_may_take_and_return_nothing() {
        hub.worker(w -> w
                .activity("nothing", ctx -> {
                    assertEquals("nothing", ctx.getName());
                    assertNull(ctx.getInput(String.class));
                    return null;
                })
                .orchestration("call", ctx ->
                        ctx.complete(ctx.callActivity("nothing", null, String.class).await() == null)));
        assertEquals(true, hub.run("call", null, Boolean.class));
    }

    @Test
    void a_failure_reaches_the_orchestrator_with_all_its_details() {
        hub.worker(w -> w
                .activity("divide", ctx -> 1 / ctx.getInput(Integer.class))
                .orchestration("catch", ctx -> {
                    try {
                        ctx.callActivity("divide", 0, Integer.class).await();
                    } catch (TaskFailedException failed) {
                        var details = failed.getErrorDetails();
                        ctx.complete(Map.of(
                                "task", failed.getTaskName(),
                                "type", details.getErrorType(),
                                "message", details.getErrorMessage(),
                                "arithmetic", details.isCausedBy(ArithmeticException.class),
                                "unsupported", details.isCausedBy(UnsupportedOperationException.class),
                                "stack", details.getStackTrace().contains(ActivityScenarios.class.getName())));
                    }
                }));
        assertEquals(
                Map.of("task", "divide", "type", "java.lang.ArithmeticException", "message", "/ by zero",
                        "arithmetic", true, "unsupported", false, "stack", true),
                hub.run("catch", null, Map.class));
    }

    @Test
    void a_failure_nobody_catches_fails_the_orchestration() {
        hub.worker(w -> w
                .activity("fail", ctx -> {
                    throw new IllegalArgumentException("no such street: ☃");
                })
                .orchestration("careless", ctx -> ctx.callActivity("fail").await()));
        var details = hub.ended(hub.start("careless"), FAILED).getFailureDetails();
        assertAll(
                () -> assertEquals(TaskFailedException.class.getName(), details.getErrorType()),
                () -> assertTrue(details.getErrorMessage().contains("no such street: ☃"), details.getErrorMessage()),
                () -> assertTrue(details.getErrorMessage().contains("'fail'"), details.getErrorMessage()),
                () -> assertTrue(details.getStackTrace().contains("Task"), details.getStackTrace()),
                () -> assertFalse(details.isNonRetriable()));
    }

    @Test
    void an_activity_nobody_registered_fails_the_task() {
        hub.worker(w -> w.orchestration("hopeful", ctx -> ctx.callActivity("unheard-of").await()));
        var details = hub.ended(hub.start("hopeful"), FAILED).getFailureDetails();
        assertTrue(details.getErrorMessage().contains("unheard-of"), details.getErrorMessage());
    }

    @Test
    void failures_among_many_are_collected() {
        hub.worker(w -> w
                .activity("odd", ctx -> {
                    int number = ctx.getInput(Integer.class);
                    if (number % 2 == 0) {
                        throw new IllegalArgumentException(number + " is even");
                    }
                    return number;
                })
                .orchestration("sieve", ctx -> {
                    List<Task<Integer>> tasks = new ArrayList<>();
                    for (int number = 0; number < 6; number++) {
                        tasks.add(ctx.callActivity("odd", number, Integer.class));
                    }
                    try {
                        ctx.allOf(tasks).await();
                    } catch (CompositeTaskFailedException failed) {
                        ctx.complete(failed.getExceptions().stream()
                                .map(error -> ((TaskFailedException) error).getErrorDetails().getErrorMessage())
                                .toList());
                    }
                }));
        assertEquals(List.of("0 is even", "2 is even", "4 is even"), hub.run("sieve", null, List.class));
    }

    @Test
    void a_retry_policy_ends_with_the_first_success() {
        var attempts = new AtomicInteger();
        hub.worker(w -> w
                .activity("flaky", ctx -> {
                    if (attempts.incrementAndGet() < 3) {
                        throw new IllegalStateException("not yet");
                    }
                    return "at last";
                })
                .orchestration("patient", ctx -> {
                    var options = new TaskOptions(new RetryPolicy(10, Duration.ofMillis(10)));
                    ctx.complete(ctx.callActivity("flaky", null, options, String.class).await());
                }));
        assertEquals("at last", hub.run("patient", null, String.class));
        assertEquals(3, attempts.get());
    }

    @Test
    void a_retry_policy_stops_after_its_attempts_and_pauses_between_them() {
        var attempts = new CopyOnWriteArrayList<Long>();
        hub.worker(w -> w
                .activity("broken", ctx -> {
                    attempts.add(System.nanoTime());
                    throw new IllegalStateException("attempt " + attempts.size());
                })
                .orchestration("stubborn", ctx -> {
                    var policy = new RetryPolicy(4, Duration.ofMillis(40)).setBackoffCoefficient(2.0);
                    ctx.callActivity("broken", null, new TaskOptions(policy)).await();
                }));
        var details = hub.ended(hub.start("stubborn"), FAILED).getFailureDetails();
        assertTrue(details.getErrorMessage().contains("attempt 4"), details.getErrorMessage());
        assertEquals(4, attempts.size());
        // The SDK counts from the attempt that failed: 40 ms doubled once, twice, three times. Its clock has whole ms.
        for (int failed = 1; failed < 4; failed++) {
            var pauseMs = (attempts.get(failed) - attempts.get(failed - 1)) / 1_000_000;
            assertTrue(pauseMs >= 40 << failed - 1, "only " + pauseMs + " ms after attempt " + failed);
        }
    }

    @Test
    void a_retry_handler_decides_and_sees_every_failure() {
        var seen = new ConcurrentSkipListMap<Integer, String>();
        var attempts = new AtomicInteger();
        hub.worker(w -> w
                .activity("broken", ctx -> {
                    throw new IllegalStateException("attempt " + attempts.incrementAndGet());
                })
                .orchestration("judge", ctx -> {
                    var options = new TaskOptions(retry -> {
                        // Asked again at each replay; the answers and what they rest on stay the same.
                        seen.put(retry.getLastAttemptNumber(), retry.getLastFailure().getErrorMessage());
                        retry.getOrchestrationContext().createTimer(Duration.ofMillis(10)).await();
                        return retry.getLastAttemptNumber() < 3;
                    });
                    ctx.callActivity("broken", null, options).await();
                }));
        hub.ended(hub.start("judge"), FAILED);
        assertEquals(Map.of(1, "attempt 1", 2, "attempt 2", 3, "attempt 3"), seen);
        assertEquals(3, attempts.get());
    }

    @Test
    void retries_among_many_do_not_disturb_the_others() {
        var failedOnce = new ConcurrentSkipListMap<Integer, Boolean>();
        hub.worker(w -> w
                .activity("flaky", ctx -> {
                    int number = ctx.getInput(Integer.class);
                    if (number % 3 == 0 && failedOnce.put(number, true) == null) {
                        throw new IllegalStateException("not yet");
                    }
                    return number;
                })
                .orchestration("spread", ctx -> {
                    var options = new TaskOptions(new RetryPolicy(3, Duration.ofMillis(10)));
                    var tasks = IntStream.range(0, 9)
                            .mapToObj(number -> ctx.callActivity("flaky", number, options, Integer.class))
                            .toList();
                    ctx.complete(ctx.allOf(tasks).await());
                }));
        assertEquals(List.of(0, 1, 2, 3, 4, 5, 6, 7, 8), hub.run("spread", null, List.class));
        assertEquals(List.of(0, 3, 6), List.copyOf(failedOnce.keySet()));
    }
}
