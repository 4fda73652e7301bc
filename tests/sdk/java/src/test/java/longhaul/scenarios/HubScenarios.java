package longhaul.scenarios;

import static longhaul.support.Hub.refused;
import static longhaul.support.Hub.unique;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

import longhaul.support.Hub;
import longhaul.support.SharedHub;

import io.grpc.Status;

/** Task hubs made and deleted by programs; of the SDKs, only this one does. */
class HubScenarios extends SharedHub {
    @Test
    void a_hub_made_again_keeps_what_is_in_it_unless_told_otherwise() {
        try (var made = new Hub(server, unique("Made"))) {
            made.client().createTaskHub(false);
            var id = made.start("nobody_runs_this", "kept");
            made.client().createTaskHub(false);
            assertEquals("kept", made.state(id).readInputAs(String.class));
            made.client().createTaskHub(true);
            assertFalse(made.state(id).isInstanceFound());
        }
    }

    @Test
    void a_deleted_hub_is_missing_until_it_is_made_again() {
        try (var doomed = new Hub(server, unique("Doomed"))) {
            doomed.client().createTaskHub(false);
            var id = doomed.start("nobody_runs_this");
            doomed.client().deleteTaskHub();
            var refusal = refused(Status.Code.NOT_FOUND, () -> doomed.state(id));
            assertTrue(refusal.getMessage().contains(doomed.name()), refusal.getMessage());
            doomed.client().deleteTaskHub();
            doomed.client().createTaskHub(false);
            assertFalse(doomed.state(id).isInstanceFound());
        }
    }

    @Test
    void a_worker_of_a_deleted_hub_serves_the_one_made_after_it() {
        try (var phoenix = new Hub(server, unique("Phoenix"))) {
            phoenix.client().createTaskHub(false);
            phoenix.worker(w -> w.orchestration("answer", ctx -> ctx.complete(ctx.getInput(String.class))));
            assertEquals("before", phoenix.run("answer", "before", String.class));
            phoenix.client().createTaskHub(true);
            // This SDK's worker looks for its hub again every five seconds.
            assertEquals("after", phoenix.run("answer", "after", String.class));
        }
    }
}
