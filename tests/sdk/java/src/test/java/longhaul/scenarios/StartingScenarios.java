package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.PENDING;
import static longhaul.support.Hub.refused;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Named.named;

import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import org.junit.jupiter.api.Named;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

import com.microsoft.durabletask.NewOrchestrationInstanceOptions;

import io.grpc.Status;
import longhaul.support.SharedHub;

/** What a start asks for, and what the state then says. */
class StartingScenarios extends SharedHub {
    record Order(String customer, List<Integer> quantities, Map<String, Double> prices) {}

    @Test
    void state_tells_what_was_started() {
        hub.worker(w -> w.orchestration("bill", ctx -> ctx.complete(ctx.getInput(Order.class).quantities())));
        var order = new Order("Zoë", List.of(1, 2, 3), Map.of("tea", 2.5));
        var before = Instant.now().truncatedTo(ChronoUnit.MILLIS);
        var id = unique("order");
        hub.client().scheduleNewOrchestrationInstance("bill", order, id);
        var state = hub.ended(id, COMPLETED);
        assertAll(
                () -> assertEquals(id, state.getInstanceId()),
                () -> assertEquals("bill", state.getName()),
                () -> assertEquals(order, state.readInputAs(Order.class)),
                () -> assertEquals(List.of(1, 2, 3), state.readOutputAs(List.class)),
                () -> assertTrue(state.isInstanceFound() && state.isCompleted() && !state.isRunning()),
                () -> assertFalse(state.getCreatedAt().isBefore(before), "created after the call"),
                () -> assertFalse(state.getLastUpdatedAt().isBefore(state.getCreatedAt()), "updated after creation"),
                () -> assertFalse(state.getLastUpdatedAt().isAfter(Instant.now()), "updated before now"));
    }

    @Test
    void nothing_in_and_nothing_out_leaves_nothing() {
        hub.worker(w -> w.orchestration("silent", ctx -> {}));
        var id = hub.start("silent");
        hub.ended(id, COMPLETED);
        var state = hub.rawState(id);
        assertAll(
                () -> assertFalse(state.hasInput(), "input"),
                () -> assertFalse(state.hasOutput(), "output"),
                () -> assertFalse(state.hasCustomStatus(), "custom status"),
                () -> assertFalse(state.hasFailureDetails(), "failure"),
                () -> assertFalse(state.hasScheduledStartTimestamp(), "scheduled start"));
    }

    static Stream<Named<Object>> values() {
        return Stream.of(
                named("zero", 0),
                named("false", false),
                named("a fraction", 1.5),
                named("empty text", ""),
                named("odd text", "☃ \u0000 \" \\ \n"),
                named("an empty list", List.of()),
                named("nested values", Map.of("list", List.of(Map.of("key", 1)))));
    }

    @ParameterizedTest
    @MethodSource("values")
    void a_value_survives_input_activity_child_and_output(Object value) {
        hub.worker(w -> w
                .activity("echo", ctx -> ctx.getInput(Object.class))
                .orchestration("child", ctx ->
                        ctx.complete(ctx.callActivity("echo", ctx.getInput(Object.class), Object.class).await()))
                .orchestration("parent", ctx -> {
                    var given = ctx.getInput(Object.class);
                    ctx.complete(ctx.callSubOrchestrator("child", given, Object.class).await());
                }));
        assertEquals(value, hub.run("parent", value, Object.class));
    }

    @Test
    void an_id_in_use_is_refused_and_an_ended_one_begins_anew() {
        hub.worker(w -> w.orchestration("wait", ctx ->
                ctx.complete(ctx.waitForExternalEvent("go", String.class).await() + ctx.getInput(String.class))));
        var id = unique("reused");
        hub.client().scheduleNewOrchestrationInstance("wait", "first", id);
        hub.started(id);
        var refusal = refused(Status.Code.ALREADY_EXISTS,
                () -> hub.client().scheduleNewOrchestrationInstance("wait", "second", id));
        assertTrue(refusal.getMessage().contains(id), refusal.getMessage());
        hub.client().raiseEvent(id, "go", "the ");
        assertEquals("the first", hub.completed(id, String.class));

        hub.client().scheduleNewOrchestrationInstance("wait", "third", id);
        hub.client().raiseEvent(id, "go", "the ");
        assertEquals("the third", hub.completed(id, String.class));
    }

    static Stream<Named<String>> impossibleIds() {
        return Stream.of(
                named("too long", "x".repeat(101)),
                named("an entity's", "@counter@one"),
                named("with a control character", "line\nbreak"));
    }

    @ParameterizedTest
    @MethodSource("impossibleIds")
    void an_id_no_orchestration_may_have_is_refused(String id) {
        refused(Status.Code.INVALID_ARGUMENT, () -> hub.client().scheduleNewOrchestrationInstance("any", null, id));
    }

    @Test
    void a_scheduled_start_waits_for_its_time() {
        hub.worker(w -> w.orchestration("now", ctx -> ctx.complete(ctx.getCurrentInstant().toEpochMilli())));
        var at = Instant.now().plusMillis(800).truncatedTo(ChronoUnit.MILLIS);
        var id = hub.client().scheduleNewOrchestrationInstance(
                "now", new NewOrchestrationInstanceOptions().setStartTime(at));
        assertEquals(PENDING, hub.state(id).getRuntimeStatus());
        assertTrue(hub.rawState(id).hasScheduledStartTimestamp());
        var began = Instant.ofEpochMilli(hub.completed(id, Long.class));
        assertFalse(began.isBefore(at), "began " + began + ", not before " + at);
    }

    @ParameterizedTest
    @ValueSource(longs = {0, 1_000_000_000})
    void a_start_in_the_past_is_a_start_now(long epochSecond) {
        hub.worker(w -> w.orchestration("now", ctx -> ctx.complete("ran")));
        var id = hub.client().scheduleNewOrchestrationInstance(
                "now", new NewOrchestrationInstanceOptions().setStartTime(Instant.ofEpochSecond(epochSecond)));
        assertEquals("ran", hub.completed(id, String.class));
    }

    @Test
    void a_version_stays_with_the_instance() {
        hub.worker(w -> w.orchestration("versioned", ctx -> ctx.complete("ran")));
        var id = hub.client().scheduleNewOrchestrationInstance(
                "versioned", new NewOrchestrationInstanceOptions().setVersion("2.1.0"));
        assertEquals("ran", hub.completed(id, String.class));
        assertEquals("2.1.0", hub.rawState(id).getVersion().getValue());
        var other = hub.start("versioned");
        hub.completed(other, String.class);
        assertFalse(hub.rawState(other).hasVersion());
    }

    @Test
    void a_missing_instance_is_not_an_error_to_look_at() {
        assertFalse(hub.state(unique("missing")).isInstanceFound());
    }

    @Test
    void payloads_are_hidden_unless_asked_for() {
        hub.worker(w -> w.orchestration("fail", ctx -> {
            ctx.setCustomStatus("failing");
            throw new IllegalStateException("the secret is " + ctx.getInput(String.class));
        }));
        var id = hub.start("fail", "42");
        assertEquals("the secret is 42", hub.ended(id).getFailureDetails().getErrorMessage());
        var state = hub.client().getInstanceMetadata(id, false);
        assertAll(
                () -> assertEquals("", state.getSerializedInput()),
                () -> assertEquals("", state.getSerializedOutput()),
                () -> assertEquals("", state.getFailureDetails().getErrorMessage()),
                () -> assertTrue(state.isCustomStatusFetched(), "custom status is always shown"));
    }

    @Test
    void a_hundred_at_once() {
        hub.worker(w -> w
                .activity("square", ctx -> ctx.getInput(Integer.class) * ctx.getInput(Integer.class))
                .orchestration("squared", ctx ->
                        ctx.complete(ctx.callActivity("square", ctx.getInput(Integer.class), Integer.class).await())));
        var ids = IntStream.range(0, 100).parallel().mapToObj(n -> hub.start("squared", n)).toList();
        var squares = ids.stream().map(id -> hub.completed(id, Integer.class)).toList();
        assertEquals(IntStream.range(0, 100).mapToObj(n -> n * n).toList(), squares);
    }
}
