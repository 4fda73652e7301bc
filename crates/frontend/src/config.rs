//! What an operator can set about the gRPC service.

use std::time::Duration;

use longhaul_types::{HubName, limits};

use crate::limits::Limits;

/// Settings of the gRPC service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The task hub of calls that name none.
    ///
    /// Source: the core SDKs, without the Azure packages, send no `taskhub` header.
    pub default_hub: HubName,
    /// What calls and answers may hold.
    pub limits: Limits,
    /// Bytes of one received message.
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
            limits: Limits::default(),
            message_bytes_max: limits::MESSAGE_BYTES_DEFAULT,
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
            message_bytes_max,
            health_ping_interval,
            work_items_per_stream,
            limits,
            default_hub: _,
        } = self;
        if let Some(key) = limits.zero() {
            return Err(ConfigError::Zero(key));
        }
        if limits.payload_bytes >= *message_bytes_max {
            return Err(ConfigError::PayloadAboveMessage {
                payload_bytes: limits.payload_bytes,
                message_bytes_max: *message_bytes_max,
            });
        }
        if health_ping_interval.is_zero() || *health_ping_interval > HEALTH_PING_INTERVAL_MAX {
            return Err(ConfigError::HealthPingInterval(*health_ping_interval));
        }
        if *work_items_per_stream == 0 {
            return Err(ConfigError::Zero("work_items_per_stream"));
        }
        Ok(())
    }
}

/// A configuration that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A limit that would let nothing through.
    #[error("{0} is 0, but must be at least 1")]
    Zero(&'static str),
    /// See [`Config::message_bytes_max`].
    #[error(
        "payload_bytes is {payload_bytes}, but must be below message_bytes_max, which is {message_bytes_max}"
    )]
    PayloadAboveMessage {
        /// As set.
        payload_bytes: usize,
        /// As set.
        message_bytes_max: usize,
    },
    /// See [`Config::health_ping_interval`].
    #[error("health_ping_interval is {0:?}, but must be above 0 and at most 30 s")]
    HealthPingInterval(Duration),
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
                    limits: Limits {
                        tag_key_bytes: 0,
                        ..Limits::default()
                    },
                    ..config()
                },
                "tag_key_bytes",
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
