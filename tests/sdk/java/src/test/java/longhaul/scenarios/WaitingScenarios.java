package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.PENDING;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.RUNNING;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.OrchestrationMetadata;

import longhaul.support.SharedHub;
import longhaul.support.Waiting;

/** Callers that wait for a start or an end. */
class WaitingScenarios extends SharedHub {
    private static final Duration BRIEF = Duration.ofMillis(250);

    @Test
    void waiting_for_a_start_ends_with_the_callers_patience() {
        var id = hub.start("nobody-runs-this");
        var began = System.nanoTime();
        assertThrows(TimeoutException.class, () -> hub.client().waitForInstanceStart(id, BRIEF));
        assertTrue(System.nanoTime() - began >= BRIEF.toNanos() / 2, "it did wait");
        assertEquals(PENDING, hub.state(id).getRuntimeStatus());
    }

    @Test
    void waiting_for_an_end_ends_with_the_callers_patience() throws TimeoutException {
        hub.worker(w -> w.orchestration("wait", ctx ->
                ctx.complete(ctx.waitForExternalEvent("go", int.class).await())));
        var id = hub.start("wait");
        assertEquals(RUNNING, hub.started(id).getRuntimeStatus());
        assertThrows(TimeoutException.class, () -> hub.client().waitForInstanceCompletion(id, BRIEF, true));
        // Giving up harmed nothing: the next caller waits as well as the first one.
        hub.client().raiseEvent(id, "go", 7);
        assertEquals(7, hub.completed(id, Integer.class));
    }

    @Test
    void an_instance_is_pending_until_its_first_turn_is_answered() {
        var turn = new CountDownLatch(1);
        var answer = new CountDownLatch(1);
        hub.worker(w -> w.orchestration("think", ctx -> {
            turn.countDown();
            Waiting.await(answer);
            ctx.complete("thought");
        }));
        var id = hub.start("think");
        Waiting.await(turn);
        assertThrows(TimeoutException.class, () -> hub.client().waitForInstanceStart(id, BRIEF));
        assertEquals(PENDING, hub.state(id).getRuntimeStatus());
        answer.countDown();
        assertEquals(COMPLETED, hub.started(id).getRuntimeStatus());
    }

    @Test
    void the_first_custom_status_is_visible_at_the_start() {
        hub.worker(w -> w.orchestration("report", ctx -> {
            ctx.setCustomStatus("ready");
            ctx.waitForExternalEvent("go").await();
        }));
        var id = hub.start("report");
        assertEquals("ready", hub.started(id).readCustomStatusAs(String.class));
        hub.client().raiseEvent(id, "go");
        hub.ended(id, COMPLETED);
    }

    @Test
    void every_one_of_many_waiters_is_told() throws Exception {
        hub.worker(w -> w.orchestration("wait", ctx -> {
            ctx.waitForExternalEvent("go").await();
            ctx.complete("done");
        }));
        var id = hub.start("wait");
        hub.started(id);
        var waiters = Executors.newFixedThreadPool(40);
        try {
            Callable<OrchestrationMetadata> waiter = () -> hub.ended(id);
            var waiting = Stream.generate(() -> waiter).limit(40).map(waiters::submit).toList();
            hub.client().raiseEvent(id, "go");
            for (var answer : waiting) {
                assertEquals("done", answer.get().readOutputAs(String.class));
            }
        } finally {
            waiters.shutdownNow();
        }
    }

    @Test
    void an_instance_may_be_waited_for_before_it_exists() throws Exception {
        hub.worker(w -> w.orchestration("late", ctx -> ctx.complete("here")));
        var id = unique("late");
        var waiter = Executors.newSingleThreadExecutor();
        try {
            var waiting = waiter.submit(() -> hub.completed(id, String.class));
            assertThrows(TimeoutException.class, () -> hub.client().waitForInstanceStart(id, BRIEF));
            hub.client().scheduleNewOrchestrationInstance("late", null, id);
            assertEquals("here", waiting.get());
        } finally {
            waiter.shutdownNow();
        }
    }
}
