//! What a machine needs before it can build: a C++ compiler, libclang and the RocksDB archive.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::rocksdb;

/// One thing the build needs from the operating system.
struct Requirement {
    what: &'static str,
    present: fn() -> bool,
    debian: &'static str,
    fedora: &'static str,
    macos: &'static str,
}

const REQUIREMENTS: [Requirement; 2] = [
    Requirement {
        what: "a C++ compiler (RocksDB)",
        present: has_cxx_compiler,
        debian: "g++",
        fedora: "gcc-c++",
        macos: "xcode-select --install",
    },
    Requirement {
        what: "libclang (RocksDB's bindings)",
        present: has_libclang,
        debian: "libclang-dev",
        fedora: "clang-devel",
        macos: "brew install llvm",
    },
];

/// Installs what is missing where that is possible, otherwise says what to install.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let missing = missing();
    if !missing.is_empty() {
        if !can_apt_install() {
            bail!("{}", instructions(&missing));
        }
        apt_install(&missing)?;
        ensure!(
            self::missing().is_empty(),
            "{}",
            instructions(&self::missing())
        );
    }
    rocksdb::ensure_archive(root)
}

/// Whether a program can be started by this name.
fn has_program(name: &str) -> bool {
    succeeds(&[name, "--version"])
}

/// Whether this command, a program and its arguments, can be started and succeeds.
pub(crate) fn succeeds(command: &[&str]) -> bool {
    let Some((program, args)) = command.split_first() else {
        return false;
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn missing() -> Vec<&'static Requirement> {
    REQUIREMENTS
        .iter()
        .filter(|requirement| !(requirement.present)())
        .collect()
}

fn has_cxx_compiler() -> bool {
    // The build script of librocksdb-sys looks for the same two.
    env::var("CXX").is_ok_and(|name| has_program(&name)) || has_program("c++")
}

fn has_libclang() -> bool {
    if let Some(given) = env::var_os("LIBCLANG_PATH").map(PathBuf::from) {
        return is_libclang(&given) || holds_libclang(&given);
    }
    libclang_dirs().iter().any(|dir| holds_libclang(dir))
}

/// Where distributions keep libclang. `*/lib` directories of versioned LLVM packages included.
fn libclang_dirs() -> Vec<PathBuf> {
    let mut dirs: Vec<PathBuf> = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/local/opt/llvm/lib",
        "/opt/homebrew/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    ]
    .map(PathBuf::from)
    .into();
    for versions in ["/usr/lib", "/usr/lib64", "/usr/local"] {
        let entries = fs::read_dir(versions).into_iter().flatten().flatten();
        let llvm = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"));
        dirs.extend(llvm.flat_map(|entry| ["lib", "lib64"].map(|lib| entry.path().join(lib))));
    }
    let config = Command::new("llvm-config")
        .arg("--libdir")
        .stderr(Stdio::null())
        .output();
    dirs.extend(
        config
            .ok()
            .map(|out| String::from_utf8_lossy(&out.stdout).trim().into()),
    );
    dirs
}

fn holds_libclang(dir: &Path) -> bool {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| is_libclang(&entry.path()))
}

fn is_libclang(path: &Path) -> bool {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    let library = name.starts_with("libclang.so")
        || name.starts_with("libclang-") && name.contains(".so") && !name.contains("cpp")
        || name == "libclang.dylib";
    library && path.exists()
}

fn can_apt_install() -> bool {
    rustix::process::geteuid().is_root() && has_program("apt-get")
}

fn apt_install(missing: &[&Requirement]) -> Result<()> {
    let packages: Vec<&str> = missing
        .iter()
        .map(|requirement| requirement.debian)
        .collect();
    eprintln!("installing {}", packages.join(" "));
    for args in [
        ["update"].as_slice(),
        &[&["install", "-y"], packages.as_slice()].concat(),
    ] {
        let status = Command::new("apt-get")
            .args(args)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("cannot run apt-get")?;
        ensure!(
            status.success(),
            "apt-get {} failed\n{}",
            args.join(" "),
            instructions(missing)
        );
    }
    Ok(())
}

fn instructions(missing: &[&Requirement]) -> String {
    let list = |name: fn(&Requirement) -> &str, separator| {
        missing
            .iter()
            .map(|requirement| name(requirement))
            .collect::<Vec<_>>()
            .join(separator)
    };
    format!(
        "the build needs {}.\n  Debian, Ubuntu:  sudo apt-get install -y {}\n  \
         Fedora, RHEL:    sudo dnf install -y {}\n  macOS:           {}",
        list(|requirement| requirement.what, " and "),
        list(|requirement| requirement.debian, " "),
        list(|requirement| requirement.fedora, " "),
        list(|requirement| requirement.macos, " && "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_name_every_missing_package() {
        let text = instructions(&REQUIREMENTS.iter().collect::<Vec<_>>());
        for name in [
            "g++ libclang-dev",
            "gcc-c++ clang-devel",
            "xcode-select --install && brew",
        ] {
            assert!(text.contains(name), "{name} is not in:\n{text}");
        }
    }

    #[test]
    fn libclang_is_told_from_its_neighbours() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let check = |name: &str| {
            let path = dir.path().join(name);
            fs::write(&path, "").expect("write");
            is_libclang(&path)
        };
        assert!(check("libclang.so"));
        assert!(check("libclang.so.1"));
        assert!(check("libclang-14.so.13"));
        assert!(check("libclang.dylib"));
        assert!(!check("libclang-cpp.so.14"));
        assert!(!check("libclangAST.a"));
        assert!(!is_libclang(&dir.path().join("libclang.so.2")));
    }

    #[test]
    fn absent_programs_are_noticed() {
        assert!(has_program("cargo"));
        assert!(!has_program("a-program-nobody-has"));
        assert!(succeeds(&["cargo", "version"]));
        assert!(!succeeds(&["cargo", "a-command-nobody-has"]));
        assert!(!succeeds(&[]));
    }
}
