//! What the operating system knows about this process, as metrics.

use std::fmt;
use std::fs;
use std::time::Duration;

use model::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks a second, which Linux fixes for what it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;
/// Bytes of a page on the platforms that are supported.
const PAGE_BYTES: u64 = 4096;

/// Reads `/proc/self` at every scrape; shows nothing where there is none.
#[derive(Debug)]
pub struct ProcessCollector {
    /// When the process started.
    pub started: Timestamp,
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let started = Duration::from_nanos(u64::try_from(self.started.0).unwrap_or(0));
        let started = ConstGauge::new(started.as_secs_f64());
        put(&mut encoder, "process_start_time_seconds", "When the process started", &started)?;
        if let Some(stat) = Stat::read() {
            let cpu = ConstCounter::new(stat.cpu_seconds);
            put(&mut encoder, "process_cpu_seconds", "Processor time spent", &cpu)?;
            let resident = ConstGauge::new(stat.resident_bytes as f64);
            put(&mut encoder, "process_resident_memory_bytes", "Memory in use", &resident)?;
            let virtual_bytes = ConstGauge::new(stat.virtual_bytes as f64);
            put(&mut encoder, "process_virtual_memory_bytes", "Address space", &virtual_bytes)?;
            let threads = ConstGauge::new(stat.threads as f64);
            put(&mut encoder, "process_threads", "Threads", &threads)?;
        }
        if let Ok(files) = fs::read_dir("/proc/self/fd") {
            let open = ConstGauge::new(files.count() as f64);
            put(&mut encoder, "process_open_fds", "Open files", &open)?;
        }
        Ok(())
    }
}

fn put(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted from the state, which follows the program's name in parentheses.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            cpu_seconds: (number(11)? + number(12)?) as f64 / TICKS_PER_SECOND,
            threads: number(17)?,
            virtual_bytes: number(20)?,
            resident_bytes: number(21)? * PAGE_BYTES,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_line_is_read() {
        let text = "17 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 777 4096000 512 1844 1";
        let stat = Stat::parse(text).unwrap();
        let expected = Stat {
            cpu_seconds: 3.0,
            threads: 9,
            virtual_bytes: 4_096_000,
            resident_bytes: 512 * PAGE_BYTES,
        };
        assert_eq!(stat, expected);
        assert_eq!(Stat::parse("17 (x) S"), None);
    }
}
