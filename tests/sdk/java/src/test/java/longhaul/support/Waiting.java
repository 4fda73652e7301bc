package longhaul.support;

import java.time.Duration;
import java.util.concurrent.BrokenBarrierException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;
import java.util.function.Supplier;

/** Waiting for conditions, always with a deadline. */
public final class Waiting {
    /** Generous: it only decides how long a broken server takes to be reported as such. */
    public static final Duration PATIENCE = Duration.ofSeconds(30);

    /** What something that waits throws, without the exceptions that no lambda may throw. */
    @FunctionalInterface
    public interface Wait<T> {
        T run() throws InterruptedException, TimeoutException, BrokenBarrierException;
    }

    private Waiting() {}

    /** Polls until the condition holds. */
    public static void eventually(String what, Supplier<Boolean> condition) {
        eventually(what, condition, held -> held);
    }

    /** Polls until what {@code current} returns is as wanted, and returns that. */
    public static <T> T eventually(String what, Supplier<T> current, Predicate<T> wanted) {
        var deadline = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            var value = current.get();
            if (wanted.test(value)) {
                return value;
            }
            if (System.nanoTime() > deadline) {
                throw new AssertionError(what + " did not come true within " + PATIENCE + "; last value: " + value);
            }
            uninterrupted(() -> {
                Thread.sleep(10);
                return null;
            });
        }
    }

    /** Waits for a latch that somebody else opens. */
    public static void await(CountDownLatch latch) {
        uninterrupted(() -> {
            if (!latch.await(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new TimeoutException("nobody opened the latch within " + PATIENCE);
            }
            return null;
        });
    }

    /** Runs something that waits; that it was interrupted or ran out of time is an error. */
    public static <T> T uninterrupted(Wait<T> wait) {
        try {
            return wait.run();
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while waiting", interrupted);
        } catch (TimeoutException | BrokenBarrierException error) {
            throw new AssertionError(error.getMessage(), error);
        }
    }
}
