//! CPU, memory and disk as the system counts them.

use std::fs;
use std::path::Path;

/// Ticks of `/proc/*/stat` per second on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// User and system CPU seconds of a process so far.
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command's name may hold blanks and brackets; fields count from behind it.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// Peak resident memory of a process, in megabytes (10^6 bytes).
pub fn peak_megabytes(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or("");
    let kibibytes: f64 =
        line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).unwrap_or(0.0);
    kibibytes * 1024.0 / 1e6
}

/// Starts peak memory afresh, so that phases can be told apart.
pub fn reset_peak(pid: u32) {
    // Not permitted everywhere; the peak then covers the whole life of the process.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

/// Bytes and number of the files below a folder.
pub fn disk_usage(folder: &Path) -> (u64, u64) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    entries.filter_map(Result::ok).fold((0, 0), |(bytes, files), entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            let (below, count) = disk_usage(&entry.path());
            (bytes + below, files + count)
        }
        Ok(metadata) => (bytes + metadata.len(), files + 1),
        Err(_) => (bytes, files),
    })
}
