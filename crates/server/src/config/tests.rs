//! Sources, their order, and what is said about mistakes.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads `file` and the variables over the defaults of `longhaul server`, and checks the result.
fn read(file: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("a.toml");
    fs::write(&path, file).expect("written");
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let loaded = Loaded::read(Config::server(), Some(&path), variables)?;
    loaded.validate()?;
    Ok(loaded)
}

/// Reading fails with as many problems as there are expectations; each has all of its parts.
#[track_caller]
fn check_problems(file: &str, variables: &[(&str, &str)], expected: &[&[&str]]) {
    let error = read(file, variables).expect_err("must be refused");
    assert_eq!(error.problems.len(), expected.len(), "{error}");
    for (problem, parts) in error.problems.iter().zip(expected) {
        let problem = problem.to_string();
        for part in *parts {
            assert!(problem.contains(part), "{part:?} in {problem:?}");
        }
    }
}

#[test]
fn defaults_are_valid() {
    assert_eq!(read("", &[]).expect("valid").config, Config::server());
    let dev = Loaded::read(Config::dev(), None, std::iter::empty()).expect("nothing to read");
    dev.validate().expect("valid");
}

#[test]
fn environment_wins_over_file_and_both_are_origins() {
    let file = "[hubs]\ncreate = [\"a\"]\n\n[wal]\nprewrite = true\n";
    let loaded = read(file, &[("LONGHAUL_HUBS__CREATE", "b, c")]).expect("valid");
    let hubs: Vec<&str> = loaded
        .config
        .hubs
        .create
        .iter()
        .map(HubName::as_str)
        .collect();
    assert_eq!(hubs, ["b", "c"]);
    assert!(loaded.config.wal.prewrite);
    assert_eq!(
        loaded.origin("hubs.create").to_string(),
        "LONGHAUL_HUBS__CREATE"
    );
    assert!(
        loaded
            .origin("wal.prewrite")
            .to_string()
            .ends_with("a.toml, line 5")
    );
    let shown = loaded.show(true);
    assert!(
        shown.contains("create = [\"b\", \"c\"]  # LONGHAUL_HUBS__CREATE"),
        "{shown}"
    );
    assert!(shown.contains("dynamic = false  # default"), "{shown}");
}

#[test]
fn what_is_shown_can_be_read_again() {
    let file = "[grpc]\nstream_window = \"123456B\"\n\n[telemetry]\nlog_level = \"info,a=debug\"\n";
    let loaded = read(file, &[]).expect("valid");
    assert_eq!(
        read(&loaded.show(false), &[]).expect("valid").config,
        loaded.config
    );
}

#[test]
fn variables_of_the_emulator_are_read_under_our_own() {
    let emulator = [
        ("DTS_TASK_HUB_NAMES", "a,b"),
        ("DTS_USE_DYNAMIC_TASK_HUBS", "True"),
    ];
    let loaded = read("[hubs]\ncreate = [\"c\"]\n", &emulator).expect("valid");
    assert_eq!(loaded.config.hubs.create.len(), 2);
    assert!(loaded.config.hubs.dynamic);

    let ours = ("LONGHAUL_HUBS__DYNAMIC", "false");
    let loaded = read("", &[emulator[1], ours]).expect("valid");
    assert!(!loaded.config.hubs.dynamic);
    let loaded = read("", &[("DTS_TASK_HUB_NAMES", ""), ("RUST_LOG", "")]).expect("empty is unset");
    assert_eq!(loaded.config, Config::server());
}

#[test]
fn variables_that_others_name_after_us_are_let_be() {
    let others = [
        ("LONGHAUL_PORT", "tcp://10.0.0.1:8080"),
        ("LONGHAUL_CONFIG", "x"),
        ("PATH", "/bin"),
    ];
    assert_eq!(read("", &others).expect("valid").config, Config::server());
}

#[test]
fn unknown_keys_are_named_with_their_line_and_the_nearest() {
    check_problems(
        "[listen]\ngrcp = \"localhost:1\"\n",
        &[],
        &[&["a.toml, line 2", "listen.grcp", "did you mean listen.grpc?"]],
    );
    check_problems(
        "\n[wall]\nprewrite = true\n",
        &[],
        &[&["line 2", "[wall]", "did you mean [wal]?"]],
    );
    check_problems(
        "data_dir = \"x\"\n",
        &[],
        &[&["line 1", "data_dir", "did you mean node.data_dir?"]],
    );
    check_problems(
        "",
        &[("LONGHAUL_WAL__PREWRIT", "true")],
        &[&[
            "LONGHAUL_WAL__PREWRIT",
            "did you mean LONGHAUL_WAL__PREWRITE?",
        ]],
    );
}

#[test]
fn bad_values_are_named_with_their_place_and_what_is_expected() {
    check_problems(
        "[node]\nshutdown_grace = \"5 parsecs\"\n",
        &[],
        &[&["line 2", "node.shutdown_grace", "\"5 parsecs\"", "500ms"]],
    );
    check_problems(
        "[node]\nshutdown_grace = 5\n",
        &[],
        &[&["line 2", "5 is not a duration"]],
    );
    check_problems(
        "[wal]\nprewrite = \"true\"\n",
        &[],
        &[&["\"true\" is not true or false"]],
    );
    check_problems(
        "[cluster]\npartitions = -4\n",
        &[],
        &[&["-4 is not a whole number"]],
    );
    check_problems(
        "[hubs]\ncreate = [\"a\", \"b c\"]\n",
        &[],
        &[&["hubs.create", "this list"]],
    );
    check_problems("[hubs.create]\n", &[], &[&["hubs.create", "a section"]]);
    check_problems(
        "",
        &[("LONGHAUL_GRPC__STREAM_WINDOW", "1MB")],
        &[&["LONGHAUL_GRPC__STREAM_WINDOW", "\"1MB\"", "64MiB"]],
    );
}

#[test]
fn all_mistakes_are_told_at_once() {
    check_problems(
        "[wal]\nprewrite = 1\nsize = 2\n",
        &[("LONGHAUL_A__B", "")],
        &[&["wal.prewrite"], &["wal.size"], &["LONGHAUL_A__B"]],
    );
}

#[test]
fn text_that_is_no_toml_is_placed() {
    check_problems("[wal\n", &[], &[&["a.toml", "line 1"]]);
    check_problems(
        "[wal]\nprewrite = true\nprewrite = false\n",
        &[],
        &[&["a.toml", "line 3"]],
    );
}

#[test]
fn missing_file_is_named() {
    let error = Loaded::read(
        Config::server(),
        Some(Path::new("/nowhere.toml")),
        std::iter::empty(),
    );
    assert!(
        error
            .expect_err("missing")
            .to_string()
            .contains("/nowhere.toml")
    );
}

#[test]
fn broken_relations_name_both_sides_and_their_origins() {
    check_problems(
        "[grpc]\nstream_window = \"8MiB\"\n",
        &[],
        &[&[
            "grpc.stream_window (",
            "line 2) is 8MiB",
            "grpc.connection_window, which is 4MiB",
        ]],
    );
    check_problems(
        "[wal]\nbatch_size = \"2MiB\"\n",
        &[("LONGHAUL_WAL__SEGMENT_SIZE", "1MiB")],
        &[&[
            "wal.batch_size (",
            "wal.segment_size (LONGHAUL_WAL__SEGMENT_SIZE), which is 1MiB",
        ]],
    );
    check_problems(
        "[listen]\ndashboard = \"localhost:8080\"\n",
        &[],
        &[&["listen.grpc and listen.dashboard (", "port 8080"]],
    );
}

#[test]
fn limits_are_checked_and_named() {
    for (file, part) in [
        ("[node]\nshutdown_grace = \"9s\"\n", "at most 8s"),
        ("[cluster]\npartitions = 6\n", "power of two"),
        ("[cluster]\npartitions = 2048\n", "power of two"),
        ("[grpc]\nconnections_max = 0\n", "at least 1"),
        ("[grpc]\ncalls_per_connection_max = 0\n", "at least 1"),
        ("[grpc]\nconnection_window = \"2GiB\"\n", "below 2GiB"),
        ("[grpc]\nheaders_max = \"1KiB\"\n", "at least 4KiB"),
        ("[grpc]\nkeepalive_timeout = \"10ms\"\n", "at least 1s"),
        ("[wal]\nsegment_size = \"100000001B\"\n", "multiple of 512B"),
        ("[wal]\nsegment_size = \"2GiB\"\n", "from 8KiB to 1GiB"),
        ("[wal]\nbatch_size = \"1B\"\n", "at least 512B"),
        ("[storage]\ncheckpoint_interval = \"1m\"\n", "at most 10s"),
        (
            "[storage]\npartition_write_buffer = \"1KiB\"\n",
            "at least 64KiB",
        ),
        (
            "[storage]\nwrite_buffers = \"8MiB\"\n",
            "storage.write_buffers (",
        ),
        ("[storage]\nbackground_jobs = 0\n", "from 1 to 64"),
        (
            "[retention]\nfailed_after = \"200years\"\n",
            "retention.failed_after (",
        ),
        (
            "[retention.hubs]\na = \"200years\"\n",
            "at most 100 years, or never",
        ),
        ("[telemetry]\ntrace_percent = 101\n", "at most 100"),
        ("[limits]\npayload = \"64MiB\"\n", "below limits.message"),
        ("[limits]\npayload = \"0B\"\n", "at least 1B"),
        ("[limits]\ntag_value = \"0B\"\n", "limits.tag_value ("),
        ("[limits]\npending_events = 0\n", "limits.pending_events ("),
        ("[limits]\nwork_items_per_stream = 0\n", "at least 1"),
        (
            "[work_items]\nactivity_lease_max = \"1s\"\n",
            "at least 15s, or 0s",
        ),
        ("[work_items]\npark_retry = \"1s\"\n", "at least 60s"),
    ] {
        check_problems(file, &[], &[&[part]]);
    }
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    for key in keys::all() {
        let value = (key.toml)(&Config::server());
        let value = value.trim_matches(['[', ']', '{', '}']).replace('"', "");
        let loaded = read("", &[(&key.variable(), &value)]).expect("its own default");
        assert_eq!(loaded.config, Config::server(), "{}", key.path);
        assert_eq!(loaded.origin(key.path), &Origin::Variable(key.variable()));
    }
}

#[test]
fn examples_are_valid() {
    for (name, defaults) in [
        ("default.toml", Config::server()),
        ("single-node.toml", Config::server()),
        ("dev.toml", Config::dev()),
    ] {
        let path = repository().join("config").join(name);
        let loaded = Loaded::read(defaults, Some(&path), std::iter::empty());
        loaded
            .and_then(|loaded| loaded.validate())
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// With `LONGHAUL_REWRITE=1` in the environment, the files are written instead.
#[test]
fn generated_files_are_up_to_date() {
    for (path, content) in [
        ("config/default.toml", default_file()),
        ("docs/configuration.md", reference_page()),
    ] {
        let file = repository().join(path);
        if std::env::var_os("LONGHAUL_REWRITE").is_some() {
            fs::write(&file, content).expect("written");
        } else {
            let found = fs::read_to_string(&file).unwrap_or_default();
            assert_eq!(
                found, content,
                "{path} differs; run this test once with LONGHAUL_REWRITE=1"
            );
        }
    }
}
