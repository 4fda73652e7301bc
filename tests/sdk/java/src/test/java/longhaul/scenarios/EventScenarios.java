package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static com.microsoft.durabletask.OrchestrationRuntimeStatus.RUNNING;
import static longhaul.support.Hub.refused;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.TaskCanceledException;

import io.grpc.Status;
import longhaul.support.SharedHub;

/** External events. */
class EventScenarios extends SharedHub {
    @Test
    void events_raised_before_the_first_turn_are_kept_in_order() {
        var id = hub.start("collect");
        for (int number = 0; number < 5; number++) {
            hub.client().raiseEvent(id, "number", number);
        }
        hub.worker(w -> w.orchestration("collect", ctx -> {
            var numbers = new ArrayList<Integer>();
            while (numbers.size() < 5) {
                numbers.add(ctx.waitForExternalEvent("number", Integer.class).await());
            }
            ctx.complete(numbers);
        }));
        assertEquals(List.of(0, 1, 2, 3, 4), hub.completed(id, List.class));
    }

    @Test
    void events_of_other_names_wait_for_their_turn() {
        hub.worker(w -> w.orchestration("ordered", ctx -> {
            var first = ctx.waitForExternalEvent("first", String.class).await();
            ctx.setCustomStatus("past the first");
            var second = ctx.waitForExternalEvent("second", String.class).await();
            ctx.complete(first + second);
        }));
        var id = hub.start("ordered");
        hub.client().raiseEvent(id, "second", "b");
        hub.client().raiseEvent(id, "third", "c");
        hub.client().raiseEvent(id, "first", "a");
        assertEquals("ab", hub.completed(id, String.class));
    }

    @Test
    void several_events_are_awaited_together() {
        hub.worker(w -> w.orchestration("quorum", ctx -> {
            var votes = Stream.of("red", "green", "blue", "red")
                    .map(name -> ctx.waitForExternalEvent(name, String.class))
                    .toList();
            ctx.complete(String.join(" ", ctx.allOf(votes).await()));
        }));
        var id = hub.start("quorum");
        hub.started(id);
        hub.client().raiseEvent(id, "red", "r1");
        hub.client().raiseEvent(id, "blue", "b");
        hub.client().raiseEvent(id, "red", "r2");
        assertEquals(RUNNING, hub.state(id).getRuntimeStatus());
        hub.client().raiseEvent(id, "green", "g");
        assertEquals("r1 g b r2", hub.completed(id, String.class));
    }

    @Test
    void a_wait_gives_up_after_its_time() {
        hub.worker(w -> w.orchestration("doubtful", ctx -> {
            var before = ctx.getCurrentInstant();
            try {
                ctx.waitForExternalEvent("answer", Duration.ofMillis(300), String.class).await();
                ctx.complete(-1);
            } catch (TaskCanceledException gaveUp) {
                ctx.complete(Duration.between(before, ctx.getCurrentInstant()).toMillis());
            }
        }));
        var waited = hub.run("doubtful", null, Long.class);
        assertEquals(true, waited >= 300, "waited " + waited + " ms");
    }

    @Test
    void an_event_in_time_ends_the_wait() {
        hub.worker(w -> w.orchestration("sure", ctx ->
                ctx.complete(ctx.waitForExternalEvent("answer", Duration.ofDays(2), String.class).await())));
        var id = hub.start("sure");
        hub.started(id);
        hub.client().raiseEvent(id, "answer", "yes");
        assertEquals("yes", hub.completed(id, String.class));
    }

    @Test
    void an_event_without_data_is_an_event() {
        hub.worker(w -> w.orchestration("ping", ctx ->
                ctx.complete(ctx.waitForExternalEvent("ping", String.class).await() == null)));
        var id = hub.start("ping");
        hub.client().raiseEvent(id, "ping");
        assertEquals(true, hub.completed(id, Boolean.class));
    }

    @Test
    void two_raises_are_two_events_however_many_raise() {
        hub.worker(w -> w.orchestration("count", ctx -> {
            var sum = 0;
            for (int received = 0; received < 100; received++) {
                sum += ctx.waitForExternalEvent("add", Integer.class).await();
            }
            ctx.complete(sum);
        }));
        var id = hub.start("count");
        IntStream.rangeClosed(1, 100).parallel().forEach(number -> hub.client().raiseEvent(id, "add", number));
        assertEquals(5050, hub.completed(id, Integer.class));
    }

    @Test
    void orchestrations_send_each_other_events() {
        hub.worker(w -> w
                .orchestration("receive", ctx -> ctx.complete(
                        ctx.waitForExternalEvent("data", String.class).await()
                                + ctx.waitForExternalEvent("bare", String.class).await()))
                .orchestration("send", ctx -> {
                    ctx.sendEvent(ctx.getInput(String.class), "bare");
                    ctx.sendEvent(ctx.getInput(String.class), "data", "hello");
                    ctx.sendEvent("nobody-has-this-id", "data", "lost");
                    ctx.complete("sent");
                }));
        var receiver = hub.start("receive");
        assertEquals("sent", hub.run("send", receiver, String.class));
        assertEquals("hellonull", hub.completed(receiver, String.class));
    }

    @Test
    void an_event_to_nobody_is_refused_and_one_to_an_ended_instance_lost() {
        refused(Status.Code.NOT_FOUND, () -> hub.client().raiseEvent(unique("nobody"), "any", 1));
        hub.worker(w -> w.orchestration("end", ctx -> ctx.complete("over")));
        var id = hub.start("end");
        hub.ended(id, COMPLETED);
        var updated = hub.state(id).getLastUpdatedAt();
        hub.client().raiseEvent(id, "any", 1);
        assertEquals(updated, hub.state(id).getLastUpdatedAt());
    }
}
