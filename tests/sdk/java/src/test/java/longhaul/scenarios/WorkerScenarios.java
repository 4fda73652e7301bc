package longhaul.scenarios;

import static com.microsoft.durabletask.OrchestrationRuntimeStatus.RUNNING;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

import org.junit.jupiter.api.Test;

import com.microsoft.durabletask.DurableTaskGrpcClientBuilder;
import com.microsoft.durabletask.DurableTaskGrpcWorkerBuilder;
import com.microsoft.durabletask.TaskOrchestration;
import com.microsoft.durabletask.TaskOrchestrationFactory;

import longhaul.support.Hub;
import longhaul.support.Server;
import longhaul.support.SharedHub;
import longhaul.support.Waiting;

/** Workers that share, come, go and are lost. This SDK names no completion tokens, so the server has to know. */
class WorkerScenarios extends SharedHub {
    @Test
    void an_activity_whose_worker_is_lost_goes_to_another_one() {
        var begun = new CountDownLatch(1);
        var never = new CountDownLatch(1);
        TaskOrchestration call = ctx -> ctx.complete(ctx.callActivity("where", String.class).await());
        var lost = hub.worker(w -> w.orchestration("call", call).activity("where", ctx -> {
            begun.countDown();
            Waiting.await(never);
            return "lost";
        }));
        var id = hub.start("call");
        Waiting.await(begun);
        hub.worker(w -> w.orchestration("call", call).activity("where", ctx -> "found"));
        lost.close();
        assertEquals("found", hub.completed(id, String.class));
    }

    @Test
    void a_turn_whose_worker_is_lost_goes_to_another_one() {
        var begun = new CountDownLatch(1);
        var never = new CountDownLatch(1);
        var lost = hub.worker(w -> w.orchestration("think", ctx -> {
            begun.countDown();
            Waiting.await(never);
            ctx.complete("lost");
        }));
        var id = hub.start("think");
        Waiting.await(begun);
        hub.worker(w -> w.orchestration("think", ctx -> ctx.complete("found")));
        lost.close();
        assertEquals("found", hub.completed(id, String.class));
    }

    @Test
    void a_slow_activity_stays_with_its_worker_while_others_work() {
        var begun = new CountDownLatch(1);
        var mayEnd = new CountDownLatch(1);
        var runs = new AtomicInteger();
        TaskOrchestration call = ctx ->
                ctx.complete(ctx.callActivity(ctx.getInput(String.class), String.class).await());
        hub.worker(w -> w
                .orchestration("call", call)
                .activity("quick", ctx -> "quick")
                .activity("slow", ctx -> {
                    runs.incrementAndGet();
                    begun.countDown();
                    Waiting.await(mayEnd);
                    return "slow";
                }));
        var slow = hub.start("call", "slow");
        Waiting.await(begun);
        hub.worker(w -> w
                .orchestration("call", call)
                .activity("quick", ctx -> "quick")
                .activity("slow", ctx -> {
                    runs.incrementAndGet();
                    return "again";
                }));
        // What goes to the busy worker waits there, so more is started until some went to the other one alone.
        var quick = new ArrayList<String>();
        Waiting.eventually("an end at the other worker", () -> {
            quick.add(hub.start("call", "quick"));
            return quick.stream().anyMatch(id -> hub.state(id).isCompleted());
        });
        assertEquals(RUNNING, hub.state(slow).getRuntimeStatus());
        mayEnd.countDown();
        assertEquals("slow", hub.completed(slow, String.class));
        quick.forEach(id -> assertEquals("quick", hub.completed(id, String.class)));
        assertEquals(1, runs.get());
    }

    @Test
    void two_workers_share_the_activities_of_one_orchestration() {
        var seen = ConcurrentHashMap.<Integer>newKeySet();
        var met = ConcurrentHashMap.<Integer>newKeySet();
        var bothMet = new CountDownLatch(2);
        for (var number : List.of(1, 2)) {
            hub.worker(w -> w
                    .orchestration("look", ctx -> seen.add(number))
                    .orchestration("spread", ctx -> ctx.complete(ctx.allOf(IntStream.range(0, 24)
                            .mapToObj(n -> ctx.callActivity("meet", n, Integer.class))
                            .toList()).await().size()))
                    .activity("meet", ctx -> {
                        // Neither worker gets on before both have been given one.
                        if (met.add(number)) {
                            bothMet.countDown();
                        }
                        Waiting.await(bothMet);
                        return ctx.getInput(Integer.class);
                    }));
        }
        Waiting.eventually("both workers connected", () -> {
            hub.ended(hub.start("look"));
            return seen.size() == 2;
        });
        assertEquals(24, hub.run("spread", null, Integer.class));
    }

    @Test
    void work_started_while_no_worker_is_there_waits_for_one() {
        var ids = IntStream.range(0, 10).mapToObj(n -> hub.start("later", n)).toList();
        hub.worker(w -> w.orchestration("later", ctx -> ctx.complete(ctx.getInput(Integer.class))));
        IntStream.range(0, 10).forEach(n -> assertEquals(n, hub.completed(ids.get(n), Integer.class)));
    }

    @Test
    void a_worker_finds_a_server_that_was_killed_and_started_again() {
        try (var own = new Server(); var there = new Hub(own, "default")) {
            there.worker(w -> w
                    .activity("add", ctx -> ctx.getInput(Integer.class) + 1)
                    .orchestration("survive", ctx -> {
                        int before = ctx.callActivity("add", 1, Integer.class).await();
                        ctx.setCustomStatus("halfway");
                        int event = ctx.waitForExternalEvent("go", Integer.class).await();
                        ctx.complete(ctx.callActivity("add", before + event, Integer.class).await());
                    }));
            var id = there.start("survive");
            there.reports(id, "halfway");
            own.kill();
            own.start();
            try (var later = new Hub(own, "default")) {
                assertEquals("halfway", later.state(id).readCustomStatusAs(String.class));
                later.client().raiseEvent(id, "go", 39);
                assertEquals(42, later.completed(id, Integer.class));
            }
        }
    }

    @Test
    void hubs_do_not_see_each_other() {
        try (var other = new Hub(server, "Elsewhere")) {
            var id = unique("shared");
            TaskOrchestration where = ctx -> ctx.complete(ctx.getInput(String.class));
            hub.client().scheduleNewOrchestrationInstance("where", "here", id);
            assertFalse(other.state(id).isInstanceFound());
            other.client().scheduleNewOrchestrationInstance("where", "there", id);
            other.worker(w -> w.orchestration("where", where));
            assertEquals("there", other.completed(id, String.class));
            assertFalse(hub.state(id).isCompleted());
            hub.worker(w -> w.orchestration("where", where));
            assertEquals("here", hub.completed(id, String.class));
        }
    }

    @Test
    void a_program_that_names_no_hub_is_served_from_the_default_one() throws Exception {
        var worker = new DurableTaskGrpcWorkerBuilder()
                .port(server.port())
                .addOrchestration(new TaskOrchestrationFactory() {
                    @Override
                    public String getName() {
                        return "plain";
                    }

                    @Override
                    public TaskOrchestration create() {
                        return ctx -> ctx.complete("served");
                    }
                })
                .build();
        var thread = new Thread(worker::startAndBlock);
        thread.setDaemon(true);
        thread.start();
        try (worker; var client = new DurableTaskGrpcClientBuilder().port(server.port()).build();
                var named = new Hub(server, "default")) {
            var id = client.scheduleNewOrchestrationInstance("plain");
            var state = client.waitForInstanceCompletion(id, Waiting.PATIENCE, true);
            assertEquals("served", state.readOutputAs(String.class));
            assertEquals("served", named.completed(id, String.class));
        } finally {
            Waiting.eventually("the end of the worker's thread", () -> {
                thread.interrupt();
                return !thread.isAlive();
            });
        }
    }
}
