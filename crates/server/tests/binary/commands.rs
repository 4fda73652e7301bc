//! What the commands say, and how they end.

use std::process::{Command, Stdio};

use rustix::process::Signal;

use crate::dev::{Dev, longhaul, path_text};

/// The command fails, and says all of `parts`.
#[track_caller]
fn check_fails(mut command: Command, parts: &[&str]) {
    let output = command.output().expect("runs");
    let error = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} in {error:?}");
    }
}

#[test]
fn dev_says_how_to_connect_and_ends_well_when_asked() {
    for signal in [Signal::TERM, Signal::INT] {
        let dir = tempfile::tempdir().expect("a directory");
        let data = dir.path().join("data");
        let dev = Dev::start(&["--data", path_text(&data), "--hub", "a", "--hub", "b"]);
        assert_ne!(dev.port(), 0);
        assert!(
            dev.told("Connection string")
                .ends_with(";TaskHub=a;Authentication=None")
        );
        let canonical = data.canonicalize().expect("created");
        assert_eq!(dev.told("Data"), path_text(&canonical));
        assert!(dev.told("Task hubs").starts_with("a, b"));
        assert!(dev.told("Dashboard").starts_with("http://localhost:"));
        dev.signal(signal);
        let (status, log) = dev.wait();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(log.contains("stopped"), "{log}");
    }
}

#[test]
fn ephemeral_data_is_gone_afterwards() {
    let dir = tempfile::tempdir().expect("a directory");
    let args = ["dev", "--port", "0", "--dashboard-port", "0", "--ephemeral"];
    let dev = Dev::ready(
        longhaul(&args)
            .env("TMPDIR", dir.path())
            .stderr(Stdio::piped()),
    );
    let count = || std::fs::read_dir(dir.path()).expect("listed").count();
    assert_eq!(count(), 1);
    dev.signal(Signal::TERM);
    let (status, log) = dev.wait();
    assert_eq!(status.code(), Some(0), "{log}");
    assert_eq!(count(), 0);
}

#[test]
fn taken_port_and_directory_are_told_by_whom() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let dev = Dev::start(&["--data", path_text(&data)]);
    let (pid, port) = (dev.child.id().to_string(), dev.port().to_string());
    let other = dir.path().join("other");
    check_fails(
        longhaul(&[
            "dev",
            "--port",
            &port,
            "--dashboard-port",
            "0",
            "--data",
            path_text(&other),
        ]),
        &[&port, &pid, "longhaul", "--port"],
    );
    assert!(
        !other.exists(),
        "nothing is created before the ports are ours"
    );
    check_fails(
        longhaul(&[
            "dev",
            "--port",
            "0",
            "--dashboard-port",
            "0",
            "--data",
            path_text(&data),
        ]),
        &[
            path_text(&data.canonicalize().expect("created")),
            &pid,
            "--data",
        ],
    );
}

#[test]
fn logs_are_json_on_demand() {
    let dir = tempfile::tempdir().expect("a directory");
    let dev = Dev::start(&[
        "--data",
        path_text(&dir.path().join("data")),
        "--log-format",
        "json",
    ]);
    dev.signal(Signal::TERM);
    let (_, log) = dev.wait();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let ready = lines
        .iter()
        .find(|line| line["message"] == "ready")
        .expect("it was ready");
    assert_eq!(ready["level"], "INFO");
    assert!(ready["data"].is_string());
}

#[test]
fn configuration_is_checked_without_starting_anything() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("a.toml");
    std::fs::write(&file, "[listen]\ngrcp = \"localhost:1\"\n").expect("written");
    let check = ["config", "check", "--config", path_text(&file)];
    check_fails(
        longhaul(&check),
        &["a.toml, line 2", "listen.grcp", "listen.grpc"],
    );
    check_fails(
        longhaul(&["server", "--config", path_text(&file)]),
        &["listen.grcp"],
    );

    std::fs::write(&file, "[listen]\ngrpc = \"localhost:1\"\n").expect("written");
    assert!(longhaul(&check).output().expect("runs").status.success());
    let shown = longhaul(&["config", "show", "--origin"])
        .env("LONGHAUL_CONFIG", &file)
        .env("LONGHAUL_WAL__PREWRITE", "true")
        .output()
        .expect("runs");
    let shown = String::from_utf8(shown.stdout).expect("text");
    assert!(
        shown.contains("prewrite = true  # LONGHAUL_WAL__PREWRITE"),
        "{shown}"
    );
    assert!(shown.contains("a.toml, line 2"), "{shown}");
}

#[test]
fn version_is_told() {
    let output = longhaul(&["version"]).output().expect("runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        format!("longhaul {}\n", env!("CARGO_PKG_VERSION"))
    );
}
