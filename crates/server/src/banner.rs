//! What `longhaul dev` prints when it is ready: everything needed to connect, and how to stop.

use std::fmt;
use std::path::PathBuf;

/// The text.
#[derive(Debug)]
pub(crate) struct Banner {
    pub(crate) connection_string: String,
    /// `None` if it is deleted in the end.
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) hubs: Vec<String>,
    pub(crate) any_hub: bool,
    pub(crate) dashboard: Option<String>,
    /// The other port that SDKs find by themselves.
    pub(crate) plain_grpc: Option<u16>,
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nLonghaul {}\n", env!("CARGO_PKG_VERSION"))?;
        let mut line = |what: &str, value: &dyn fmt::Display| writeln!(f, "  {what:<19}{value}");
        line("Connection string", &self.connection_string)?;
        match &self.data_dir {
            Some(dir) => line("Data", &dir.display())?,
            None => line("Data", &"in a temporary directory, deleted at the end")?,
        }
        let dynamic = if self.any_hub {
            ", and any other on its first use"
        } else {
            ""
        };
        line("Task hubs", &format!("{}{dynamic}", self.hubs.join(", ")))?;
        if let Some(url) = &self.dashboard {
            line("Dashboard", url)?;
        }
        if let Some(port) = self.plain_grpc {
            line(
                "Plain gRPC clients",
                &format!("localhost:{port}, their default"),
            )?;
        }
        line("Stop", &"Ctrl-C")?;
        writeln!(f)
    }
}
