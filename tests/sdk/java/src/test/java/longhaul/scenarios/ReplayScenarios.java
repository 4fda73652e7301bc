package longhaul.scenarios;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Stream;

import org.junit.jupiter.api.Test;

import longhaul.support.SharedHub;

/** What an orchestrator sees when its past is told to it again. */
class ReplayScenarios extends SharedHub {
    @Test
    void every_step_is_new_once_and_replayed_afterwards() {
        var marks = new CopyOnWriteArrayList<String>();
        hub.worker(w -> w
                .activity("step", ctx -> null)
                .orchestration("steps", ctx -> {
                    for (int step = 0; step < 3; step++) {
                        marks.add((ctx.getIsReplaying() ? "replays " : "does ") + step);
                        ctx.callActivity("step").await();
                    }
                    marks.add((ctx.getIsReplaying() ? "replays " : "does ") + "end");
                }));
        hub.ended(hub.start("steps"));
        assertEquals(
                List.of("does 0",
                        "replays 0", "does 1",
                        "replays 0", "replays 1", "does 2",
                        "replays 0", "replays 1", "replays 2", "does end"),
                marks);
    }

    @Test
    void ids_made_by_an_orchestrator_are_the_same_in_every_replay() {
        var turns = new CopyOnWriteArrayList<List<UUID>>();
        hub.worker(w -> w
                .activity("step", ctx -> null)
                .orchestration("ids", ctx -> {
                    var ids = new ArrayList<UUID>();
                    turns.add(ids);
                    for (int step = 0; step < 3; step++) {
                        ids.add(ctx.newUUID());
                        ids.add(ctx.newUUID());
                        ctx.callActivity("step").await();
                    }
                    ctx.complete(ids);
                }));
        var answer = hub.run("ids", null, List.class);
        assertEquals(4, turns.size());
        var last = turns.get(3);
        assertEquals(6, new HashSet<>(last).size());
        assertEquals(last.stream().map(UUID::toString).toList(), answer);
        turns.forEach(turn -> assertEquals(last.subList(0, turn.size()), turn));
    }

    @Test
    void the_orchestrators_clock_replays_and_never_goes_back() {
        var turns = new CopyOnWriteArrayList<List<Instant>>();
        hub.worker(w -> w
                .activity("step", ctx -> null)
                .orchestration("clock", ctx -> {
                    var times = new ArrayList<Instant>();
                    turns.add(times);
                    for (int step = 0; step < 3; step++) {
                        times.add(ctx.getCurrentInstant());
                        ctx.callActivity("step").await();
                        ctx.createTimer(Duration.ofMillis(5)).await();
                    }
                }));
        var before = Instant.now().minusMillis(1);
        hub.ended(hub.start("clock"));
        var times = turns.get(turns.size() - 1);
        assertEquals(3, times.size());
        assertFalse(times.get(0).isBefore(before), "not before the start");
        assertFalse(times.get(2).isAfter(Instant.now()), "not in the future");
        for (int step = 1; step < 3; step++) {
            assertTrue(times.get(step).isAfter(times.get(step - 1)), "time goes on: " + times);
        }
        turns.forEach(turn -> assertEquals(times.subList(0, turn.size()), turn));
    }

    @Test
    void histories_do_not_mix_however_many_instances_take_turns() {
        hub.worker(w -> w
                .activity("echo", ctx -> ctx.getInput(String.class))
                .orchestration("recite", ctx -> {
                    var said = "";
                    for (int step = 0; step < 4; step++) {
                        said += ctx.callActivity("echo", ctx.getInstanceId(), String.class).await()
                                .equals(ctx.getInstanceId()) ? "." : "!";
                    }
                    ctx.complete(said);
                }));
        var ids = Stream.generate(() -> hub.start("recite")).limit(40).toList();
        ids.forEach(id -> assertEquals("....", hub.completed(id, String.class)));
    }
}
