package longhaul.support;

import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/** Hands out one server for the whole run, started for the first who asks and stopped after the last scenario. */
final class SharedServer implements ParameterResolver {
    private static final ExtensionContext.Namespace NAMESPACE = ExtensionContext.Namespace.create(SharedServer.class);

    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
        return parameter.getParameter().getType() == Server.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
        // The root's store belongs to the run, and closes what is in it.
        var run = context.getRoot().getStore(NAMESPACE);
        return run.getOrComputeIfAbsent(Server.class, key -> new Server(), Server.class);
    }
}
