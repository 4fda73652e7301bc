package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.FAILED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.PENDING;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.RUNNING;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.SUSPENDED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.TERMINATED;
import static longhaul.support.Hub.refused;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.OrchestrationMetadata;
import com.microsoft.durabletask.OrchestrationRuntimeStatus;
import com.microsoft.durabletask.OrchestrationStatusQuery;
import com.microsoft.durabletask.OrchestrationStatusQueryResult;

import io.grpc.Status;
import longhaul.support.SharedHub;
import longhaul.support.Waiting;

/** Queries of instances. */
class QueryScenarios extends SharedHub {
    private OrchestrationStatusQueryResult query(OrchestrationStatusQuery query) {
        return hub.client().queryInstances(query);
    }

    private Set<String> found(OrchestrationStatusQuery query) {
        return ids(query(query).getOrchestrationState());
    }

    private static Set<String> ids(List<OrchestrationMetadata> states) {
        return states.stream().map(OrchestrationMetadata::getInstanceId).collect(Collectors.toCollection(TreeSet::new));
    }

    /** Starts this many instances that end at once, and returns their ids once they have. */
    private List<String> ended(String prefix, int count) {
        hub.worker(w -> w.orchestration("end", ctx -> ctx.complete(ctx.getInput(Integer.class))));
        var ids = IntStream.range(0, count)
                .mapToObj(n -> hub.client().scheduleNewOrchestrationInstance("end", n, prefix + "/" + n))
                .toList();
        ids.forEach(id -> hub.ended(id, COMPLETED));
        return ids;
    }

    private OrchestrationStatusQuery of(String prefix) {
        return new OrchestrationStatusQuery().setInstanceIdPrefix(prefix);
    }

    @Test
    void pages_are_full_until_the_last_and_meet_every_instance_once() {
        var prefix = unique("paged");
        var ids = ended(prefix, 11);
        var sizes = new ArrayList<Integer>();
        var met = new ArrayList<String>();
        String token = null;
        do {
            var page = query(of(prefix).setMaxInstanceCount(4).setContinuationToken(token));
            sizes.add(page.getOrchestrationState().size());
            page.getOrchestrationState().forEach(state -> met.add(state.getInstanceId()));
            token = page.getContinuationToken();
        } while (token != null && !token.isEmpty() && sizes.size() < 11);
        assertEquals(List.of(4, 4, 3), sizes);
        assertEquals(11, met.size());
        assertEquals(new TreeSet<>(ids), new TreeSet<>(met));
    }

    @Test
    void a_last_page_that_is_just_full_says_that_it_is_the_last() {
        var prefix = unique("full");
        ended(prefix, 6);
        var first = query(of(prefix).setMaxInstanceCount(3));
        var last = query(of(prefix).setMaxInstanceCount(3).setContinuationToken(first.getContinuationToken()));
        assertEquals(3, last.getOrchestrationState().size());
        assertEquals("", last.getContinuationToken());
    }

    @Test
    void pages_come_in_the_order_of_creation_and_may_change_their_size() {
        var prefix = unique("resized");
        ended(prefix, 9);
        var states = new ArrayList<OrchestrationMetadata>();
        var token = "";
        for (var size : List.of(2, 5, 100)) {
            var page = query(of(prefix).setMaxInstanceCount(size).setContinuationToken(token));
            states.addAll(page.getOrchestrationState());
            token = page.getContinuationToken();
        }
        assertEquals("", token);
        assertEquals(9, ids(states).size());
        for (int next = 1; next < states.size(); next++) {
            assertTrue(!states.get(next).getCreatedAt().isBefore(states.get(next - 1).getCreatedAt()), "order");
        }
    }

    @Test
    void a_token_nobody_handed_out_is_refused() {
        refused(Status.Code.INVALID_ARGUMENT,
                () -> query(new OrchestrationStatusQuery().setContinuationToken("not a token")));
    }

    @Test
    void each_status_finds_its_own() {
        var prefix = unique("status");
        hub.worker(w -> w
                .orchestration("end", ctx -> ctx.complete("over"))
                .orchestration("fail", ctx -> {
                    throw new IllegalStateException("on purpose");
                })
                .orchestration("wait", ctx -> ctx.waitForExternalEvent("go").await()));
        for (var kind : List.of("end", "fail", "wait")) {
            hub.client().scheduleNewOrchestrationInstance(kind, null, prefix + "/" + kind);
        }
        hub.client().scheduleNewOrchestrationInstance("wait", null, prefix + "/suspend");
        hub.client().scheduleNewOrchestrationInstance("wait", null, prefix + "/terminate");
        hub.ended(prefix + "/end", COMPLETED);
        hub.ended(prefix + "/fail", FAILED);
        hub.started(prefix + "/wait");
        hub.started(prefix + "/suspend");
        hub.client().suspendInstance(prefix + "/suspend");
        hub.reaches(prefix + "/suspend", SUSPENDED);
        hub.client().terminate(prefix + "/terminate", null);
        hub.ended(prefix + "/terminate", TERMINATED);
        hub.stopWorkers();
        hub.client().scheduleNewOrchestrationInstance("wait", null, prefix + "/pending");

        assertAll(
                () -> assertEquals(Set.of(prefix + "/end"), found(prefix, COMPLETED)),
                () -> assertEquals(Set.of(prefix + "/fail"), found(prefix, FAILED)),
                () -> assertEquals(Set.of(prefix + "/wait"), found(prefix, RUNNING)),
                () -> assertEquals(Set.of(prefix + "/suspend"), found(prefix, SUSPENDED)),
                () -> assertEquals(Set.of(prefix + "/terminate"), found(prefix, TERMINATED)),
                () -> assertEquals(Set.of(prefix + "/pending"), found(prefix, PENDING)),
                () -> assertEquals(Set.of(prefix + "/end", prefix + "/fail"), found(prefix, COMPLETED, FAILED)),
                () -> assertEquals(6, found(prefix).size()));
    }

    private Set<String> found(String prefix, OrchestrationRuntimeStatus... statuses) {
        return found(of(prefix).setRuntimeStatusList(List.of(statuses)));
    }

    @Test
    void times_of_creation_bound_a_query_from_below_and_above() {
        var prefix = unique("times");
        var created = ended(prefix, 3).stream().map(id -> hub.state(id).getCreatedAt()).toList();
        // Times of this SDK end at the millisecond; creations may share one.
        var instants = new TreeSet<>(created);
        var from = instants.last();
        assertEquals(
                created.stream().filter(at -> !at.isBefore(from)).count(),
                query(of(prefix).setCreatedTimeFrom(from)).getOrchestrationState().size());
        assertEquals(
                created.stream().filter(at -> at.isBefore(from)).count(),
                query(of(prefix).setCreatedTimeTo(from)).getOrchestrationState().size());
        assertEquals(3, found(of(prefix).setCreatedTimeFrom(instants.first()).setCreatedTimeTo(Instant.now())).size());
        assertEquals(Set.of(), found(of(prefix).setCreatedTimeFrom(Instant.now().plusSeconds(60))));
    }

    @Test
    void a_prefix_is_taken_literally() {
        var prefix = unique("prefix");
        ended(prefix + "%", 1);
        ended(prefix + "_x", 1);
        ended(prefix + "Y", 1);
        assertAll(
                () -> assertEquals(Set.of(prefix + "%/0"), found(of(prefix + "%"))),
                () -> assertEquals(Set.of(prefix + "_x/0"), found(of(prefix + "_"))),
                () -> assertEquals(Set.of(), found(of(prefix + "y"))),
                () -> assertEquals(3, found(of(prefix)).size()));
    }

    @Test
    void payloads_come_only_if_they_are_asked_for() {
        var prefix = unique("payloads");
        ended(prefix, 1);
        var shown = query(of(prefix).setFetchInputsAndOutputs(true)).getOrchestrationState().get(0);
        assertEquals(0, shown.readInputAs(Integer.class));
        assertEquals(0, shown.readOutputAs(Integer.class));
        assertEquals("end", shown.getName());
        var hidden = query(of(prefix).setFetchInputsAndOutputs(false)).getOrchestrationState().get(0);
        assertEquals("", hidden.getSerializedInput());
        assertEquals("", hidden.getSerializedOutput());
    }

    @Test
    void another_hub_s_instances_are_not_found() {
        var prefix = unique("hub");
        ended(prefix, 2);
        var own = List.of("elsewhere", hub.name().toUpperCase());
        assertEquals(2, found(of(prefix).setTaskHubNames(own)).size());
        assertEquals(Set.of(), found(of(prefix).setTaskHubNames(List.of("elsewhere"))));
    }

    @Test
    void children_are_found_like_everybody() {
        var prefix = unique("family");
        hub.worker(w -> w
                .orchestration("child", ctx -> ctx.complete("grown"))
                .orchestration("parent", ctx -> ctx.callSubOrchestrator(
                        "child", null, ctx.getInstanceId() + "/child", String.class).await()));
        hub.client().scheduleNewOrchestrationInstance("parent", null, prefix);
        hub.ended(prefix, COMPLETED);
        assertEquals(Set.of(prefix, prefix + "/child"), found(of(prefix)));
    }

    @Test
    void pages_of_large_payloads_fit_the_callers_messages() {
        var prefix = unique("large");
        hub.worker(w -> w.orchestration("carry", ctx -> ctx.complete(ctx.getInput(String.class))));
        var payload = "x".repeat(700 * 1024);
        for (int n = 0; n < 5; n++) {
            hub.client().scheduleNewOrchestrationInstance("carry", payload, prefix + "/" + n);
        }
        for (int n = 0; n < 5; n++) {
            hub.ended(prefix + "/" + n, COMPLETED);
        }
        // 7 MiB in all, and the SDK takes 4 in one message.
        var met = new ArrayList<String>();
        var token = "";
        do {
            var page = query(of(prefix).setFetchInputsAndOutputs(true).setContinuationToken(token));
            page.getOrchestrationState().forEach(state -> {
                assertEquals(payload, state.readOutputAs(String.class));
                met.add(state.getInstanceId());
            });
            token = page.getContinuationToken();
        } while (!token.isEmpty() && met.size() <= 5);
        assertEquals(5, met.size());
        assertEquals(5, new TreeSet<>(met).size());
    }

    @Test
    void a_change_is_seen_by_the_next_query() {
        var prefix = unique("fresh");
        hub.worker(w -> w.orchestration("wait", ctx -> ctx.waitForExternalEvent("go").await()));
        for (int round = 0; round < 10; round++) {
            var id = prefix + "/" + round;
            hub.client().scheduleNewOrchestrationInstance("wait", null, id);
            assertTrue(found(of(prefix)).contains(id), "started, so it is there");
            hub.client().raiseEvent(id, "go");
            hub.ended(id, COMPLETED);
            assertTrue(found(prefix, COMPLETED).contains(id), "ended, so it is among the ended");
            assertEquals(Set.of(), found(prefix, RUNNING, PENDING));
        }
        Waiting.eventually("all of them", () -> found(of(prefix)).size() == 10);
    }
}
