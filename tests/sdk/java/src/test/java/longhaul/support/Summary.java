package longhaul.support;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;

import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;

/**
 * Prints a line for every scenario, and writes "N passed, M failed[, K skipped]" to the file that the property
 * {@code longhaul.summary} names. A subject that could not even begin is one failure.
 */
public final class Summary implements TestExecutionListener {
    // Of the process: a runner may have a plan, and so a listener, for every class.
    private static final AtomicInteger PASSED = new AtomicInteger();
    private static final AtomicInteger FAILED = new AtomicInteger();
    private static final AtomicInteger SKIPPED = new AtomicInteger();

    private final Map<TestIdentifier, Instant> started = new ConcurrentHashMap<>();
    private TestPlan plan;

    @Override
    public void testPlanExecutionStarted(TestPlan plan) {
        this.plan = plan;
    }

    @Override
    public void executionStarted(TestIdentifier test) {
        started.put(test, Instant.now());
    }

    @Override
    public void executionSkipped(TestIdentifier test, String reason) {
        SKIPPED.incrementAndGet();
        print("SKIP", test, ": " + reason);
    }

    @Override
    public void executionFinished(TestIdentifier test, TestExecutionResult result) {
        var took = Duration.between(started.remove(test), Instant.now());
        var passed = result.getStatus() == TestExecutionResult.Status.SUCCESSFUL;
        if (test.isContainer() && passed) {
            return;
        }
        (passed ? PASSED : FAILED).incrementAndGet();
        var cause = result.getThrowable().map(error -> ": " + error).orElse("");
        print(passed ? "ok  " : "FAIL", test, String.format(" (%.2f s)%s", took.toMillis() / 1000.0, cause));
    }

    @Override
    public void testPlanExecutionFinished(TestPlan finished) {
        var file = System.getProperty("longhaul.summary");
        if (file == null) {
            return;
        }
        var line = PASSED + " passed, " + FAILED + " failed";
        try {
            Files.writeString(Path.of(file), SKIPPED.get() == 0 ? line + "\n" : line + ", " + SKIPPED + " skipped\n");
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    private void print(String verdict, TestIdentifier test, String rest) {
        System.out.println(verdict + " " + subject(test) + name(test) + rest);
    }

    private String subject(TestIdentifier test) {
        return test.getSource()
                .filter(MethodSource.class::isInstance)
                .map(source -> ((MethodSource) source).getJavaClass().getSimpleName() + ": ")
                .orElse("");
    }

    /** With the name of the method before it, if this is one case of several. */
    private String name(TestIdentifier test) {
        var parent = plan.getParent(test).filter(container -> container.getSource().equals(test.getSource()));
        return parent.map(container -> container.getDisplayName() + ": ").orElse("") + test.getDisplayName();
    }
}
