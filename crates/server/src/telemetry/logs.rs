//! Logs: one line each, on standard error, for a person or as JSON.

use std::io::{self, IsTerminal};

use anyhow::Context;
use tracing_subscriber::filter::Filtered;
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, registry};

use crate::config::{LogFormat, Telemetry};

/// What takes the logs, and may be listened to as well.
pub type WithLines =
    Layered<Filtered<Box<dyn Layer<Registry> + Send + Sync>, EnvFilter, Registry>, Registry>;

/// Writes this process's logs from now on, panics included, and lets `spans` listen too. Once per process.
///
/// # Errors
/// The levels cannot be read, or something else in the process takes its logs.
pub fn install(
    config: &Telemetry,
    spans: Option<impl Layer<WithLines> + Send + Sync + 'static>,
) -> anyhow::Result<()> {
    let levels = &config.log_level.0;
    let filter = EnvFilter::try_new(with_quiet_libraries(levels));
    let filter = filter.with_context(|| format!("log level {levels:?}"))?;
    let terminal = io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(io::stderr);
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let lines = if json {
        let lines = lines.json().flatten_event(true).with_current_span(false);
        lines.boxed()
    } else {
        lines.compact().with_ansi(terminal).boxed()
    };
    let installed = registry().with(lines.with_filter(filter)).with(spans);
    installed
        .try_init()
        .context("cannot take the logs of this process")?;
    std::panic::set_hook(Box::new(|panic| {
        let trace = std::backtrace::Backtrace::capture();
        tracing::error!(%panic, %trace, "panic");
    }));
    Ok(())
}

/// The consensus library tells every step at `info`. What concerns operators is told by us, so it is heard only where
/// it is named.
fn with_quiet_libraries(levels: &str) -> String {
    if levels.contains("openraft") {
        levels.to_owned()
    } else {
        format!("{levels},openraft=error")
    }
}

#[cfg(test)]
mod tests {
    use super::with_quiet_libraries;

    #[test]
    fn consensus_library_is_heard_only_where_it_is_named() {
        assert_eq!(with_quiet_libraries("debug"), "debug,openraft=error");
        assert_eq!(
            with_quiet_libraries("info,openraft=debug"),
            "info,openraft=debug"
        );
    }
}
