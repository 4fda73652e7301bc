package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.FAILED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.RUNNING;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.TERMINATED;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.TimeoutException;
import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.PurgeInstanceCriteria;
import com.microsoft.durabletask.TaskOrchestration;

import longhaul.support.Hub;
import longhaul.support.SharedHub;

/** Deleting what has ended. Purges by criteria reach a whole hub, so each of those has one of its own. */
class PurgeScenarios extends SharedHub {
    private static final TaskOrchestration WAIT = ctx ->
            ctx.complete(ctx.waitForExternalEvent("go", String.class).await());

    private static PurgeInstanceCriteria everything() {
        return new PurgeInstanceCriteria().setCreatedTimeFrom(Instant.EPOCH);
    }

    private List<String> ended(Hub there, int count) {
        there.worker(w -> w.orchestration("end", ctx -> ctx.complete("over")));
        var ids = IntStream.range(0, count).mapToObj(n -> there.start("end")).toList();
        ids.forEach(id -> there.ended(id, COMPLETED));
        return ids;
    }

    @Test
    void an_ended_instance_is_purged_and_gone() {
        var ids = ended(hub, 2);
        assertEquals(1, hub.client().purgeInstance(ids.get(0)).getDeletedInstanceCount());
        assertFalse(hub.state(ids.get(0)).isInstanceFound());
        assertTrue(hub.state(ids.get(1)).isInstanceFound());
        assertEquals(0, hub.client().purgeInstance(ids.get(0)).getDeletedInstanceCount());
    }

    @Test
    void a_missing_instance_is_nothing_to_purge() {
        assertEquals(0, hub.client().purgeInstance(unique("missing")).getDeletedInstanceCount());
    }

    @Test
    void a_live_instance_is_not_purged() {
        hub.worker(w -> w.orchestration("wait", WAIT));
        var id = hub.start("wait");
        hub.started(id);
        assertEquals(0, hub.client().purgeInstance(id).getDeletedInstanceCount());
        assertEquals(RUNNING, hub.state(id).getRuntimeStatus());
        hub.client().raiseEvent(id, "go", "on");
        assertEquals("on", hub.completed(id, String.class));
    }

    @Test
    void nothing_of_a_purged_instance_reaches_its_successor() {
        hub.worker(w -> w.orchestration("wait", WAIT));
        var id = unique("successor");
        hub.client().scheduleNewOrchestrationInstance("wait", "old input", id);
        hub.started(id);
        hub.client().terminate(id, "old output");
        hub.ended(id, TERMINATED);
        assertEquals(1, hub.client().purgeInstance(id).getDeletedInstanceCount());
        hub.client().scheduleNewOrchestrationInstance("wait", null, id);
        var state = hub.started(id);
        assertEquals(RUNNING, state.getRuntimeStatus());
        assertEquals("", state.getSerializedInput());
        hub.client().raiseEvent(id, "go", "new output");
        assertEquals("new output", hub.completed(id, String.class));
    }

    @Test
    void a_purge_of_everything_spares_what_is_live() throws TimeoutException {
        try (var own = new Hub(server, unique("purge"))) {
            own.worker(w -> w.orchestration("wait", WAIT));
            var live = own.start("wait");
            own.started(live);
            own.stopWorkers();
            var ids = ended(own, 5);
            assertEquals(5, own.client().purgeInstances(everything()).getDeletedInstanceCount());
            ids.forEach(id -> assertFalse(own.state(id).isInstanceFound()));
            assertEquals(RUNNING, own.state(live).getRuntimeStatus());
            assertEquals(0, own.client().purgeInstances(everything()).getDeletedInstanceCount());
        }
    }

    @Test
    void a_purge_deletes_only_the_statuses_it_names() throws TimeoutException {
        try (var own = new Hub(server, unique("purge"))) {
            own.worker(w -> w
                    .orchestration("end", ctx -> ctx.complete("over"))
                    .orchestration("fail", ctx -> {
                        throw new IllegalStateException("on purpose");
                    })
                    .orchestration("wait", WAIT));
            var completed = own.start("end");
            own.ended(completed, COMPLETED);
            var failed = own.start("fail");
            own.ended(failed, FAILED);
            var live = own.start("wait");
            own.started(live);
            var criteria = everything().setRuntimeStatusList(List.of(FAILED, TERMINATED, RUNNING));
            assertEquals(1, own.client().purgeInstances(criteria).getDeletedInstanceCount());
            assertTrue(own.state(completed).isInstanceFound());
            assertFalse(own.state(failed).isInstanceFound());
            assertEquals(RUNNING, own.state(live).getRuntimeStatus());
        }
    }

    @Test
    void a_purge_deletes_only_what_was_created_in_its_time() throws TimeoutException {
        try (var own = new Hub(server, unique("purge"))) {
            var old = ended(own, 3);
            var between = Instant.now().plusMillis(1);
            while (!Instant.now().isAfter(between)) {
                Thread.onSpinWait();
            }
            own.stopWorkers();
            var young = ended(own, 2);
            var before = everything().setCreatedTimeTo(between);
            assertEquals(3, own.client().purgeInstances(before).getDeletedInstanceCount());
            old.forEach(id -> assertFalse(own.state(id).isInstanceFound()));
            young.forEach(id -> assertTrue(own.state(id).isInstanceFound()));
            var after = new PurgeInstanceCriteria().setCreatedTimeFrom(between).setTimeout(Duration.ofSeconds(20));
            assertEquals(2, own.client().purgeInstances(after).getDeletedInstanceCount());
        }
    }

    @Test
    void a_caller_who_gives_up_may_ask_again() throws TimeoutException {
        try (var own = new Hub(server, unique("purge"))) {
            var ids = ended(own, 60);
            // Less than a millisecond, so the deadline has passed before there can be an answer.
            var hasty = everything().setTimeout(Duration.ofNanos(1));
            assertThrows(TimeoutException.class, () -> own.client().purgeInstances(hasty));
            var deleted = own.client().purgeInstances(everything().setTimeout(Duration.ofSeconds(20)));
            assertTrue(deleted.getDeletedInstanceCount() <= 60, "none is deleted twice");
            ids.forEach(id -> assertFalse(own.state(id).isInstanceFound()));
        }
    }
}
