//! Generates Rust from the `.proto` files, in pure Rust: protox compiles, prost and tonic generate.
//!
//! | output below `OUT_DIR` | from | holds |
//! |---|---|---|
//! | `sidecar/`, `backend/`, `sandbox/` | the public contract | messages, clients and servers |
//! | `spliced/` | the same | servers whose work items and history chunks are already encoded |
//! | `longhaul/` | `proto/longhaul/**` | messages of our own, never seen by users |
//! | `descriptors.binpb` | the public contract | descriptors for gRPC reflection |

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use prost::Message;
use prost_types::{FileDescriptorProto, FileDescriptorSet};
use tonic_prost_build::Builder;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const PUBLIC_FILES: [&str; 3] = [
    "orchestrator_service.proto",
    "backend_service.proto",
    "durable-task-scheduler/sandbox_service.proto",
];

const SIDECAR: &str = "";
const BACKEND: &str = "durabletask.protos.backend.v1";
const SANDBOX: &str = "microsoft.durabletask.sandboxes";

/// Public packages, the directory they are generated into and the module of `src/lib.rs` they become.
const PUBLIC: [(&str, &str, &str); 3] = [
    (SIDECAR, "sidecar", "crate::sidecar"),
    (BACKEND, "backend", "crate::backend::v1"),
    (SANDBOX, "sandbox", "crate::sandbox"),
];

/// Messages the server sends as bytes it already has, and the types that carry them.
const SPLICED: [(&str, &str); 2] = [
    (".WorkItem", "crate::raw::EncodedWorkItem"),
    (".HistoryChunk", "crate::raw::EncodedHistoryChunk"),
];

fn main() -> Result {
    // Build scripts run in the directory of their package; relative, so that checkouts can share a
    // target directory.
    let proto = Path::new("../../proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", proto.display());
    // Sorted maps: the same message always has the same bytes.
    let builder = tonic_prost_build::configure().btree_map(".");

    let public = protox::compile(PUBLIC_FILES, [proto])?;
    fs::write(
        out.join("descriptors.binpb"),
        without_comments(public.clone()).encode_to_vec(),
    )?;
    for (package, dir, _) in PUBLIC {
        let builder = existing_types(builder.clone(), &public, &[package], &[]);
        generate(builder, &public, &[package], &out.join(dir))?;
    }

    let spliced = existing_types(builder.clone().build_client(false), &public, &[], &SPLICED);
    generate(spliced, &public, &[SIDECAR, BACKEND], &out.join("spliced"))?;

    let ours = protox::compile(proto_files(&proto.join("longhaul"))?, [proto])?;
    let packages: BTreeSet<&str> = ours.file.iter().map(|file| file.package()).collect();
    let packages: Vec<&str> = packages
        .into_iter()
        .filter(|package| package.starts_with("longhaul."))
        .collect();
    let builder = existing_types(builder.bytes("."), &ours, &packages, &[]);
    generate(builder, &ours, &packages, &out.join("longhaul"))?;
    fs::write(out.join("longhaul/modules.rs"), module_tree(&packages))?;
    Ok(())
}

/// Tells the builder where the types of all packages but `generated` already are: in `replaced`, or
/// in the module of their package.
fn existing_types(
    mut builder: Builder,
    files: &FileDescriptorSet,
    generated: &[&str],
    replaced: &[(&str, &str)],
) -> Builder {
    for file in &files.file {
        let package = file.package();
        let Some((_, _, module)) = PUBLIC.iter().find(|(name, ..)| *name == package) else {
            continue;
        };
        if generated.contains(&package) {
            continue;
        }
        for name in type_names(file) {
            let path = if package.is_empty() {
                format!(".{name}")
            } else {
                format!(".{package}.{name}")
            };
            let replacement = replaced.iter().find(|(proto, _)| *proto == path);
            let rust = replacement.map_or_else(
                || format!("{module}::{name}"),
                |(_, rust)| (*rust).to_owned(),
            );
            builder = builder.extern_path(path, rust);
        }
    }
    builder
}

/// Generates into `dir` the services of the given packages, and all types not declared as existing.
fn generate(builder: Builder, files: &FileDescriptorSet, packages: &[&str], dir: &Path) -> Result {
    fs::create_dir_all(dir)?;
    let mut files = files.clone();
    for file in &mut files.file {
        if !packages.contains(&file.package()) {
            file.service.clear();
        }
    }
    builder.out_dir(dir).compile_fds(files)?;
    Ok(())
}

fn type_names(file: &FileDescriptorProto) -> impl Iterator<Item = &str> {
    let messages = file.message_type.iter().map(|message| message.name());
    messages.chain(file.enum_type.iter().map(|enumeration| enumeration.name()))
}

/// Reflection answers with structure only; the comments would triple its size.
fn without_comments(mut files: FileDescriptorSet) -> FileDescriptorSet {
    for file in &mut files.file {
        file.source_code_info = None;
    }
    files
}

/// Every `.proto` file below `dir`, in a stable order.
fn proto_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "proto")
            {
                found.insert(path);
            }
        }
    }
    Ok(found.into_iter().collect())
}

/// `longhaul.storage.v1` becomes `pub mod storage { pub mod v1 { … } }`.
fn module_tree(packages: &[&str]) -> String {
    let mut areas = BTreeMap::<&str, String>::new();
    for package in packages {
        let parts: Vec<&str> = package.split('.').collect();
        let [_, area, version] = parts[..] else {
            panic!("package {package} is not of the form longhaul.<area>.v<number>")
        };
        *areas.entry(area).or_default() += &format!(
            "/// Messages of package `{package}`.\npub mod {version} {{ \
             include!(concat!(env!(\"OUT_DIR\"), \"/longhaul/{package}.rs\")); }}\n"
        );
    }
    let areas = areas.iter();
    areas
        .map(|(area, versions)| {
            format!(
                "/// Our own messages: `proto/longhaul/{area}`.\n#[allow({})]\npub mod {area} {{\n{versions}}}\n",
                "missing_docs, unreachable_pub, clippy::all"
            )
        })
        .collect()
}
