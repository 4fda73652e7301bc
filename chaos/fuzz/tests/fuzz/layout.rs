//! What lies beside the table of targets agrees with it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use longhaul_fuzz::TARGETS;

use crate::replay::corpora;

const CORPORA_BYTES_MAX: u64 = 1 << 20;
const CORPORA_FILES_MAX: usize = 1_500;

fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).expect("readable");
    let paths = entries.map(|entry| entry.expect("listed").path());
    paths
        .map(|path| path.file_stem().expect("named").to_string_lossy().into())
        .collect()
}

#[test]
fn every_target_has_a_corpus_and_a_binary() {
    let targets = BTreeSet::from(TARGETS.map(|target| target.name.to_owned()));
    let libfuzzer = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer");
    assert_eq!(names(&corpora()), targets);
    assert_eq!(names(&libfuzzer.join("fuzz_targets")), targets);
    let manifest = fs::read_to_string(libfuzzer.join("Cargo.toml")).expect("readable");
    let binaries = manifest.lines().filter_map(|line| {
        let path = line.strip_prefix("path = \"fuzz_targets/")?;
        path.strip_suffix(".rs\"").map(str::to_owned)
    });
    assert_eq!(binaries.collect::<BTreeSet<_>>(), targets);
    for name in targets {
        let binary = libfuzzer.join(format!("fuzz_targets/{name}.rs"));
        let text = fs::read_to_string(binary).expect("readable");
        assert!(text.contains(&format!("run(\"{name}\"")), "{text}");
    }
}

#[test]
fn corpora_are_small() {
    let files = TARGETS.iter().flat_map(|target| {
        fs::read_dir(corpora().join(target.name)).expect("every target has a corpus")
    });
    let sizes: Vec<u64> = files
        .map(|file| file.expect("listed").metadata().expect("readable").len())
        .collect();
    assert!(sizes.len() <= CORPORA_FILES_MAX, "{} files", sizes.len());
    let bytes: u64 = sizes.iter().sum();
    assert!(bytes <= CORPORA_BYTES_MAX, "{bytes} bytes");
}
