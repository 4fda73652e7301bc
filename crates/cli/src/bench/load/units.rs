//! The unit of cost, measured around a load.

use std::{num::NonZeroUsize, time::Duration};

use anyhow::Context;

use crate::bench::empty_call::{self, EmptyServer, Unit};

/// Measures the unit twice, half before and half after the load, so that a machine that drifts does not favour either.
pub(in crate::bench) struct Units {
    server: Option<EmptyServer>,
    duration: Duration,
    in_flight: NonZeroUsize,
    connections: NonZeroUsize,
}

impl Units {
    /// Both halves together take `duration`; if that is zero, nothing is measured.
    pub(in crate::bench) async fn start(
        duration: Duration,
        in_flight: NonZeroUsize,
        connections: NonZeroUsize,
    ) -> anyhow::Result<Self> {
        let server = match duration.is_zero() {
            true => None,
            false => Some(EmptyServer::start().await?),
        };
        Ok(Self {
            server,
            duration: duration / 2,
            in_flight,
            connections,
        })
    }

    /// One half.
    pub(in crate::bench) async fn measure(&self) -> anyhow::Result<Unit> {
        match &self.server {
            None => Ok(Unit::default()),
            Some(server) => {
                empty_call::measure(server, self.duration, self.in_flight, self.connections)
                    .await
                    .context("cannot measure the unit of cost; --unit-duration 0s skips it")
            }
        }
    }
}
