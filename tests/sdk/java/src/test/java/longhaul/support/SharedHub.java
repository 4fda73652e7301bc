package longhaul.support;

import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * A subject: a hub of its own on the server that all subjects share. Its scenarios run one after the other and each
 * begins without workers.
 */
@ExtendWith(SharedServer.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
public abstract class SharedHub {
    protected Hub hub;
    protected Server server;

    @BeforeAll
    void openHub(Server shared) {
        server = shared;
        hub = new Hub(shared, getClass().getSimpleName());
    }

    @AfterEach
    void stopWorkers() {
        hub.stopWorkers();
    }

    @AfterAll
    void closeHub() {
        hub.close();
    }
}
