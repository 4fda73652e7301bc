package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.COMPLETED;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;

import org.junit.jupiter.api.Test;

import longhaul.support.SharedHub;

/** Durable timers, and the clock of an orchestration. */
class TimerScenarios extends SharedHub {
    @Test
    void a_timer_is_not_early_and_the_clock_agrees() {
        hub.worker(w -> w.orchestration("nap", ctx -> {
            var before = ctx.getCurrentInstant();
            ctx.createTimer(Duration.ofMillis(500)).await();
            ctx.complete(Duration.between(before, ctx.getCurrentInstant()).toMillis());
        }));
        var began = System.nanoTime();
        var slept = hub.run("nap", null, Long.class);
        var passed = Duration.ofNanos(System.nanoTime() - began).toMillis();
        assertTrue(slept >= 500, "slept " + slept + " ms");
        // The orchestration's clock is read a little before the caller's.
        assertTrue(passed >= 499, "after only " + passed + " ms");
    }

    @Test
    void a_timer_at_a_time_of_day_somewhere_fires_then() {
        hub.worker(w -> w.orchestration("alarm", ctx -> {
            var at = Instant.parse(ctx.getInput(String.class));
            ctx.createTimer(ZonedDateTime.ofInstant(at, ZoneId.of("Pacific/Chatham"))).await();
            ctx.complete(!ctx.getCurrentInstant().isBefore(at));
        }));
        var at = Instant.now().plusMillis(300).truncatedTo(ChronoUnit.MILLIS);
        assertEquals(true, hub.run("alarm", at.toString(), Boolean.class));
        assertTrue(!Instant.now().isBefore(at));
    }

    @Test
    void a_timer_in_the_past_fires_at_once() {
        hub.worker(w -> w.orchestration("late", ctx -> {
            ctx.createTimer(ZonedDateTime.parse("2001-02-03T04:05:06Z")).await();
            ctx.complete("fired");
        }));
        assertEquals("fired", hub.run("late", null, String.class));
    }

    @Test
    void a_timer_longer_than_the_maximum_is_a_chain_of_shorter_ones() {
        var turns = new AtomicInteger();
        hub.worker(w -> w
                .maximumTimerInterval(Duration.ofMillis(150))
                .orchestration("long", ctx -> {
                    turns.incrementAndGet();
                    var before = ctx.getCurrentInstant();
                    // Awaited alone, a chain of this SDK version ends with its first link.
                    ctx.allOf(List.of(ctx.createTimer(Duration.ofMillis(600)))).await();
                    ctx.complete(Duration.between(before, ctx.getCurrentInstant()).toMillis());
                }));
        var slept = hub.run("long", null, Long.class);
        assertTrue(slept >= 600, "slept " + slept + " ms");
        // The first turn, and one for each link: no link may be longer than 150 ms, but a late one spares others.
        assertTrue(turns.get() >= 3, turns + " turns");
    }

    @Test
    void timers_with_one_fire_time_all_fire() {
        hub.worker(w -> w.orchestration("many", ctx -> {
            var timers = Stream.generate(() -> ctx.createTimer(Duration.ofMillis(200))).limit(20).toList();
            ctx.complete(ctx.allOf(timers).await().size());
        }));
        assertEquals(20, hub.run("many", null, Integer.class));
    }

    @Test
    void timers_fire_in_the_order_of_their_time() {
        hub.worker(w -> w.orchestration("sorted", ctx -> {
            var fired = new ArrayList<Integer>();
            var timers = Stream.of(400, 100, 300, 200)
                    .map(ms -> ctx.createTimer(Duration.ofMillis(ms)).thenAccept(none -> fired.add(ms)))
                    .toList();
            ctx.allOf(timers).await();
            ctx.complete(fired);
        }));
        assertEquals(List.of(100, 200, 300, 400), hub.run("sorted", null, List.class));
    }

    @Test
    void an_event_beats_a_timer_of_a_week() {
        hub.worker(w -> w.orchestration("impatient", ctx -> {
            var event = ctx.waitForExternalEvent("now", String.class);
            var week = ctx.createTimer(Duration.ofDays(7));
            ctx.complete(ctx.anyOf(week, event).await() == event ? event.await() : "a week went by");
        }));
        var id = hub.start("impatient");
        hub.started(id);
        hub.client().raiseEvent(id, "now", "no need to wait");
        assertEquals("no need to wait", hub.ended(id, COMPLETED).readOutputAs(String.class));
    }
}
