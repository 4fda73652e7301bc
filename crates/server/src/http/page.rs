//! The status page: what this process is and how to connect to it.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// What a person who finds this node wants to know.
#[derive(Debug, Clone)]
pub struct About {
    /// For SDK clients.
    pub connection_string: String,
    /// Where the data is; `None` if it is deleted in the end.
    pub data_dir: Option<PathBuf>,
    /// Its cluster, once there is one.
    pub formed: Arc<OnceLock<Formed>>,
}

/// What is fixed when a cluster is formed.
#[derive(Debug, Clone)]
pub struct Formed {
    /// Its id.
    pub cluster: String,
    /// Into how many partitions instances are divided.
    pub partitions: u16,
}

impl About {
    /// The page.
    pub(super) fn page(&self, ready: bool) -> String {
        let state = if ready { "ready" } else { "not ready" };
        let data = match &self.data_dir {
            Some(dir) => escaped(&dir.display().to_string()),
            None => "deleted when the process ends".to_owned(),
        };
        let formed = match self.formed.get() {
            Some(Formed {
                cluster,
                partitions,
            }) => format!(
                "<dt>Cluster</dt><dd><code>{}</code></dd>\n<dt>Partitions</dt><dd>{partitions}</dd>\n",
                escaped(cluster)
            ),
            None => "<dt>Cluster</dt><dd>waits for its other nodes</dd>\n".to_owned(),
        };
        format!(
            "<!doctype html>\n\
             <html lang=\"en\">\n\
             <head><meta charset=\"utf-8\"><title>Longhaul</title></head>\n\
             <body>\n\
             <h1>Longhaul {version}</h1>\n\
             <p>This node is {state}.</p>\n\
             <dl>\n\
             <dt>Connection string</dt><dd><code>{connection_string}</code></dd>\n\
             <dt>Data</dt><dd><code>{data}</code></dd>\n\
             {formed}\
             </dl>\n\
             <p><a href=\"/metrics\">Metrics</a> · <a href=\"/healthz\">Liveness</a> · <a href=\"/readyz\">Readiness</a></p>\n\
             </body>\n\
             </html>\n",
            version = env!("CARGO_PKG_VERSION"),
            connection_string = escaped(&self.connection_string),
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_says_how_to_connect_and_shows_text_as_text() {
        let about = About {
            connection_string: "Endpoint=http://localhost:8080;TaskHub=default;Authentication=None"
                .to_owned(),
            data_dir: Some("/a/<script>&\"".into()),
            formed: Arc::default(),
        };
        assert!(about.page(false).contains("waits for its other nodes"));
        about.formed.get_or_init(|| Formed {
            cluster: "c1".repeat(16),
            partitions: 4,
        });
        let page = about.page(true);
        assert!(page.contains("c1c1"));
        assert!(page.contains(&about.connection_string));
        assert!(page.contains("/a/&lt;script&gt;&amp;&quot;"));
        assert!(page.contains("is ready"));
        assert!(about.page(false).contains("is not ready"));
    }
}
