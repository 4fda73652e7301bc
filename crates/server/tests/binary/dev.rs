//! A `longhaul dev` in a process of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use longhaul_proto::sidecar::task_hub_sidecar_service_client::TaskHubSidecarServiceClient;
use rustix::process::{Pid, Signal, kill_process};
use tonic::Status;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// Calls of one hub.
pub(crate) type Stub = TaskHubSidecarServiceClient<InterceptedService<Channel, OfHub>>;

/// Names a hub on every call.
#[derive(Clone)]
pub(crate) struct OfHub(&'static str);

impl Interceptor for OfHub {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, Status> {
        let name = self.0.parse().expect("a header value");
        request.metadata_mut().insert("taskhub", name);
        Ok(request)
    }
}

pub(crate) fn longhaul(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhaul"));
    // Ours alone decides, not what the machine's environment says.
    command.args(args).env_clear().env("RUST_BACKTRACE", "0");
    command
}

/// A `longhaul dev` that is ready; killed if the test does not end it.
pub(crate) struct Dev {
    pub(crate) child: Child,
    banner: Vec<String>,
}

impl Dev {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut command = longhaul(&["dev", "--port", "0", "--dashboard-port", "0"]);
        Self::ready(command.args(args).stderr(Stdio::piped()))
    }

    /// Runs the command and reads its banner.
    pub(crate) fn ready(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn().expect("runs");
        let mut dev = Self {
            child,
            banner: Vec::new(),
        };
        let stdout = dev.child.stdout.take().expect("piped");
        for line in BufReader::new(stdout).lines() {
            dev.banner.push(line.expect("text"));
            if dev.told_of("Stop").is_some() {
                return dev;
            }
        }
        panic!("ended before it was ready:\n{}", dev.log());
    }

    fn told_of(&self, what: &str) -> Option<&str> {
        let mut lines = self.banner.iter();
        lines.find_map(|line| line.trim_start().strip_prefix(what))
    }

    /// Its logs, to the end.
    fn log(&mut self) -> String {
        let mut log = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut log).expect("text");
        }
        log
    }

    /// The rest of the banner's line that begins with `what`.
    pub(crate) fn told(&self, what: &str) -> &str {
        let told = self.told_of(what);
        told.unwrap_or_else(|| panic!("no {what:?} in {:?}", self.banner))
            .trim()
    }

    pub(crate) fn port(&self) -> u16 {
        let endpoint = self
            .told("Connection string")
            .split(';')
            .next()
            .expect("its first part");
        let port = endpoint.rsplit(':').next().expect("after the host");
        port.parse().expect("a number")
    }

    pub(crate) async fn stub(&self, hub: &'static str) -> Stub {
        let url = format!("http://127.0.0.1:{}", self.port());
        let endpoint = Channel::from_shared(url).expect("a valid URL");
        let channel = endpoint.connect().await.expect("listening");
        TaskHubSidecarServiceClient::with_interceptor(channel, OfHub(hub))
    }

    /// The sum of all samples on the metrics page whose line begins with `name`.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let address = self.told("Dashboard").trim_start_matches("http://");
        let mut stream = TcpStream::connect(address).expect("listening");
        stream
            .write_all(b"GET /metrics HTTP/1.0\r\n\r\n")
            .expect("sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("text");
        let samples = page.lines().filter(|line| line.starts_with(name));
        samples
            .map(|line| {
                let (_, value) = line.rsplit_once(' ').expect("a sample has a value");
                value.parse::<f64>().expect("a number")
            })
            .sum()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(pid, signal).expect("ours");
    }

    /// Its exit status and its logs.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let log = self.log();
        (self.child.wait().expect("it ends"), log)
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // Already ended in most cases.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().expect("text")
}
