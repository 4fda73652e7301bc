//! What an operator can set about the gRPC service.

use std::time::Duration;

use longhaul_types::{HubName, limits};

/// Settings of the gRPC service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The task hub of calls that name none.
    ///
    /// Source: the core SDKs, without the Azure packages, send no `taskhub` header.
    pub default_hub: HubName,
    /// Bytes of one payload: an input, output, event, reason or custom status.
    pub payload_bytes_max: usize,
    /// Bytes of one received message. SDKs split completions at about 3.9 MiB, others do not split at all.
    pub message_bytes_max: usize,
    /// A worker that was sent nothing for this long gets a HealthPing.
    ///
    /// Source: SDKs take a stream for dead after 120 s of silence, older ones after 60 s.
    pub health_ping_interval: Duration,
    /// Work items of one kind out on a stream that asked for 0.
    pub work_items_per_stream: u32,
}

/// Longest [`Config::health_ping_interval`].
const HEALTH_PING_INTERVAL_MAX: Duration = Duration::from_secs(30);

impl Default for Config {
    fn default() -> Self {
        Self {
            default_hub: HubName::parse("default").expect("a valid name"),
            payload_bytes_max: 1 << 20,
            message_bytes_max: 64 << 20,
            health_ping_interval: HEALTH_PING_INTERVAL_MAX,
            work_items_per_stream: limits::WORK_ITEMS_PER_STREAM_DEFAULT,
        }
    }
}

impl Config {
    /// Checks every limit and relation.
    ///
    /// # Errors
    /// The first one that does not hold, naming the key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            payload_bytes_max,
            message_bytes_max,
            health_ping_interval,
            work_items_per_stream,
            default_hub: _,
        } = *self;
        if payload_bytes_max == 0 {
            return Err(ConfigError::PayloadBytesMax);
        }
        if payload_bytes_max >= message_bytes_max {
            return Err(ConfigError::PayloadAboveMessage {
                payload_bytes_max,
                message_bytes_max,
            });
        }
        if health_ping_interval.is_zero() || health_ping_interval > HEALTH_PING_INTERVAL_MAX {
            return Err(ConfigError::HealthPingInterval(health_ping_interval));
        }
        if work_items_per_stream == 0 {
            return Err(ConfigError::WorkItemsPerStream);
        }
        Ok(())
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// See [`Config::payload_bytes_max`].
    #[error("payload_bytes_max is 0, but must be at least 1")]
    PayloadBytesMax,
    /// See [`Config::message_bytes_max`].
    #[error(
        "payload_bytes_max is {payload_bytes_max}, but must be below message_bytes_max, which is {message_bytes_max}"
    )]
    PayloadAboveMessage {
        /// As set.
        payload_bytes_max: usize,
        /// As set.
        message_bytes_max: usize,
    },
    /// See [`Config::health_ping_interval`].
    #[error("health_ping_interval is {0:?}, but must be above 0 and at most 30 s")]
    HealthPingInterval(Duration),
    /// See [`Config::work_items_per_stream`].
    #[error("work_items_per_stream is 0, but must be at least 1")]
    WorkItemsPerStream,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_each_broken_relation_is_named() {
        let config = Config::default;
        assert_eq!(config().validate(), Ok(()));
        let broken = [
            (
                Config {
                    payload_bytes_max: 0,
                    ..config()
                },
                "payload_bytes_max",
            ),
            (
                Config {
                    message_bytes_max: 1 << 20,
                    ..config()
                },
                "message_bytes_max",
            ),
            (
                Config {
                    health_ping_interval: Duration::ZERO,
                    ..config()
                },
                "health_ping_interval",
            ),
            (
                Config {
                    health_ping_interval: Duration::from_secs(31),
                    ..config()
                },
                "health_ping_interval",
            ),
            (
                Config {
                    work_items_per_stream: 0,
                    ..config()
                },
                "work_items_per_stream",
            ),
        ];
        for (config, key) in broken {
            let error = config.validate().expect_err(key);
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
