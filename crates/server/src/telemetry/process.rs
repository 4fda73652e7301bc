//! What this process uses, read from the system whenever the page is rendered.

use std::fmt::Write;
use std::fs;

use rustix::time::{ClockId, clock_gettime};

/// Appends a family with one sample.
fn family(page: &mut String, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
    let _ = write!(
        page,
        "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n"
    );
}

/// Appends what is known; what the system does not tell is left out.
pub(super) fn render(page: &mut String) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss)]
    let cpu_seconds = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
    family(
        page,
        "longhaul_process_cpu_seconds_total",
        "counter",
        "CPU time used by this process.",
        cpu_seconds,
    );
    if let Some(bytes) = resident_bytes() {
        family(
            page,
            "longhaul_process_resident_memory_bytes",
            "gauge",
            "Memory of this process that is resident.",
            bytes,
        );
    }
    if let Ok(descriptors) = fs::read_dir("/proc/self/fd") {
        family(
            page,
            "longhaul_process_open_fds",
            "gauge",
            "File descriptors this process has open.",
            // One of them is this look.
            descriptors.count().saturating_sub(1),
        );
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}
