package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.TERMINATED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import com.microsoft.durabletask.TaskCanceledException;
import com.microsoft.durabletask.TaskOrchestration;

import longhaul.support.SharedHub;

/** Orchestrations that begin again with a new history. */
class ContinueAsNewScenarios extends SharedHub {
    @Test
    void many_generations_count_up() {
        var replayed = new AtomicInteger();
        hub.worker(w -> w
                .activity("increment", ctx -> ctx.getInput(Integer.class) + 1)
                .orchestration("count", ctx -> {
                    if (ctx.getIsReplaying()) {
                        replayed.incrementAndGet();
                    }
                    int next = ctx.callActivity("increment", ctx.getInput(Integer.class), Integer.class).await();
                    if (next < 20) {
                        ctx.continueAsNew(next);
                    }
                    ctx.complete(next);
                }));
        var id = hub.start("count", 0);
        var state = hub.ended(id, COMPLETED);
        assertEquals(20, state.readOutputAs(Integer.class));
        assertEquals(id, state.getInstanceId());
        assertEquals(19, state.readInputAs(Integer.class), "the input of the last generation");
        // Had a generation inherited history, it would have been replayed more than once: after its activity.
        assertEquals(20, replayed.get());
    }

    @Test
    void a_generation_may_rest_and_be_ended_from_outside() {
        var statuses = new ConcurrentLinkedQueue<Integer>();
        hub.worker(w -> w.orchestration("eternal", ctx -> {
            int round = ctx.getInput(Integer.class);
            statuses.add(round);
            ctx.setCustomStatus("round " + round);
            ctx.createTimer(Duration.ofMillis(20)).await();
            ctx.continueAsNew(round + 1);
        }));
        var id = hub.start("eternal", 0);
        var created = hub.started(id).getCreatedAt();
        hub.reports(id, "round 5");
        hub.client().terminate(id, "enough");
        var state = hub.ended(id, TERMINATED);
        assertEquals("enough", state.readOutputAs(String.class));
        assertEquals(created, state.getCreatedAt());
        assertTrue(statuses.containsAll(List.of(0, 1, 2, 3, 4, 5)), statuses.toString());
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void unconsumed_events_come_along_if_they_are_kept(boolean keep) {
        TaskOrchestration twice = ctx -> {
            if (ctx.getInput(String.class).equals("first")) {
                ctx.waitForExternalEvent("go").await();
                // A turn later, so that "go" is history and not one of the events to keep.
                ctx.callActivity("rest").await();
                ctx.continueAsNew("second", keep);
            }
            try {
                var wait = keep ? Duration.ofDays(1) : Duration.ofMillis(300);
                var one = ctx.waitForExternalEvent("one", wait, Integer.class).await();
                var two = ctx.waitForExternalEvent("two", wait, Integer.class).await();
                ctx.complete(one + " and " + two);
            } catch (TaskCanceledException none) {
                ctx.complete("none");
            }
        };
        hub.worker(w -> w.activity("rest", ctx -> null).orchestration("twice", twice));
        var id = hub.start("twice", "first");
        hub.client().raiseEvent(id, "one", 1);
        hub.client().raiseEvent(id, "two", 2);
        hub.client().raiseEvent(id, "go");
        assertEquals(keep ? "1 and 2" : "none", hub.completed(id, String.class));
    }

    @Test
    void what_an_older_generation_left_behind_is_not_seen_by_the_new_one() {
        hub.worker(w -> w.orchestration("forget", ctx -> {
            if (ctx.getInput(String.class).equals("first")) {
                ctx.createTimer(Duration.ofMillis(50));
                ctx.continueAsNew("second");
            }
            // Its number in the history is that of the timer before.
            var before = ctx.getCurrentInstant();
            ctx.createTimer(Duration.ofMillis(400)).await();
            ctx.complete(Duration.between(before, ctx.getCurrentInstant()).toMillis());
        }));
        var slept = hub.run("forget", "first", Long.class);
        assertTrue(slept >= 400, "slept " + slept + " ms");
    }

    @Test
    void a_child_reports_only_its_last_generation() {
        hub.worker(w -> w
                .orchestration("child", ctx -> {
                    int round = ctx.getInput(Integer.class);
                    if (round < 3) {
                        ctx.continueAsNew(round + 1);
                    }
                    ctx.complete("round " + round);
                })
                .orchestration("parent", ctx ->
                        ctx.complete(ctx.callSubOrchestrator("child", 0, String.class).await())));
        assertEquals("round 3", hub.run("parent", null, String.class));
    }
}
