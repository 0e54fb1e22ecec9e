//! Public programs on the same lines in the same run.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use runtime::clock::Clock;

use crate::error::Error;
use crate::measure;

/// A compression level run over all lines.
#[derive(Debug, Clone, Copy)]
pub struct Compression {
    /// CPU seconds.
    pub cpu: f64,
    /// Bytes left.
    pub bytes: u64,
}

/// Compresses a file with the zstd library in one thread, as `zstd -LEVEL -T1` does.
///
/// # Errors
///
/// [`Error::File`] when it cannot be read.
pub fn zstd(path: &Path, level: i32) -> Result<Compression, Error> {
    let own = std::process::id();
    let before = measure::cpu_seconds(own);
    let failed = Error::file("compress", path);
    let compress = || {
        let mut encoder = zstd::Encoder::new(Counter(0), level)?;
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return encoder.finish();
            }
            std::io::Write::write_all(&mut encoder, &buffer[..count])?;
        }
    };
    let counter: Counter = compress().map_err(failed)?;
    Ok(Compression { cpu: measure::cpu_seconds(own) - before, bytes: counter.0 })
}

/// Counts what is written and forgets it.
struct Counter(u64);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Wall time of `rg -c WORD` over the lines (second run, so that they are in memory); `None` when
/// `rg` is not installed.
pub fn ripgrep(clock: &dyn Clock, path: &Path, arguments: &[&str]) -> Option<Duration> {
    let run = || {
        let started = clock.monotonic();
        let status = Command::new("rg")
            .args(arguments)
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .ok()?;
        // Code 1 means that nothing was found, which is an answer too.
        matches!(status.code(), Some(0 | 1)).then(|| clock.monotonic().saturating_sub(started))
    };
    run()?;
    run()
}
