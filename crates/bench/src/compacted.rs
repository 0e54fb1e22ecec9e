//! What was flushed, merged into fewer and smaller segments.

use std::path::Path;
use std::time::Duration;

use runtime::clock::Clock;

use crate::client::metric;
use crate::error::Error;
use crate::measure;
use crate::report::{Report, Row, goal, short};
use crate::run::{Bench, Unit};
use crate::server::{Server, Settings};

/// Longest wait for compaction.
const DEADLINE: Duration = Duration::from_secs(1800);
/// How often to look whether it is over.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that merges have written.
const OUTPUT: &str = "sigyn_compactor_output_bytes_total";
/// Rounds of the compactor that were carried out.
const ROUNDS: &str = "loki_compactor_apply_retention_operation_total{status=\"success\"}";

/// Starts the program over what another one stored, waits until everything is compacted, and
/// reports what that cost.
pub fn compact(
    bench: Bench<'_>,
    home: &Path,
    unit: Unit,
    report: &mut Report,
) -> Result<Server, Error> {
    let Bench { plan, clock, .. } = bench;
    let (server, _) = Server::start(&plan.program, home, Settings::Compacting, clock)?;
    let took = settle(&server, clock)?;
    let (stored, objects) = measure::disk_usage(&server.segments());
    let cpu = measure::cpu_seconds(server.pid());
    let peak = measure::peak_megabytes(server.pid());
    report.group("Compaction of all of it");
    report.row(Row {
        name: "CPU".to_owned(),
        figure: format!("{} s", short(cpu)),
        ratio: format!("{}× zstd -3", short(cpu / unit.zstd_3)),
        ..Row::default()
    });
    report.row(Row {
        name: "wall".to_owned(),
        figure: format!("{} s", short(took.as_secs_f64())),
        ..Row::default()
    });
    report.row(Row {
        name: "peak memory".to_owned(),
        figure: format!("{} MB", short(peak)),
        goal: goal(peak, 256.0, "MB"),
        ..Row::default()
    });
    report.row(Row {
        name: "stored".to_owned(),
        figure: format!("{} MB in {objects} objects", short(stored as f64 / 1e6)),
        ratio: format!("{} of the lines", short(stored as f64 / unit.bytes)),
        goal: goal(stored as f64 / 1e6, 115.0 * unit.size(), "MB"),
        others: format!("{} / {} MB", short(239.9 * unit.size()), short(201.8 * unit.size())),
    });
    Ok(server)
}

/// Waits until there is nothing left to merge or to remove; how long that took.
pub fn settle(server: &Server, clock: &dyn Clock) -> Result<Duration, Error> {
    let started = clock.monotonic();
    let (mut rounds_before, mut output_before) = (metric(server, ROUNDS)?, 0.0);
    loop {
        let took = clock.monotonic().saturating_sub(started);
        let (rounds, output) = (metric(server, ROUNDS)?, metric(server, OUTPUT)?);
        if output > output_before {
            (rounds_before, output_before) = (rounds, output);
        }
        // The first round to end may have begun before; the next one finds all of it, and the last
        // that nothing is left: a merge is known when it has ended, and a round ends behind its merges.
        let is_over = rounds >= rounds_before + 3.0 && {
            let (_, objects) = measure::disk_usage(&server.segments());
            metric(server, "sigyn_catalog_segments")? >= objects as f64
        };
        if is_over {
            return Ok(took);
        }
        if took > DEADLINE {
            return Err(server.fault("does not come to an end with compaction"));
        }
        std::thread::park_timeout(LOOK);
    }
}
