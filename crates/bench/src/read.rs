//! Timing queries.

use model::Timestamp;
use runtime::clock::Clock;

use crate::client::ask;
use crate::error::Error;
use crate::measure;
use crate::queries::{QUERIES, Query};
use crate::report::{Report, Row, goal, short};
use crate::run::{Plan, Unit};
use crate::server::Server;

/// Questions about the data between two times.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    pub plan: &'a Plan,
    pub unit: Unit,
    pub clock: &'a dyn Clock,
    pub start: Timestamp,
    pub end: Timestamp,
}

/// What a query cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Median wall time in milliseconds.
    pub wall: f64,
    /// Mean CPU time in milliseconds.
    pub cpu: f64,
}

impl Reading<'_> {
    /// Asks every query and reports what it cost.
    pub fn all(self, server: &Server, what: &str, report: &mut Report) -> Result<(), Error> {
        report
            .group(format!("Reading, {what}: median wall time over the whole day, nothing cached"));
        measure::reset_peak(server.pid());
        for query in QUERIES {
            let row = self.row(server, query)?;
            report.row(row);
        }
        let peak = measure::peak_megabytes(server.pid());
        report.row(Row {
            name: "peak memory".to_owned(),
            figure: format!("{} MB", short(peak)),
            goal: goal(peak, 400.0, "MB"),
            others: "1392 / 727 MB".to_owned(),
            ..Row::default()
        });
        Ok(())
    }

    fn row(self, server: &Server, query: &Query) -> Result<Row, Error> {
        let Cost { wall, cpu } = self.cost(server, query)?;
        let scaled = |figure: f64| figure * self.unit.scale();
        Ok(Row {
            name: format!("{}: {}", query.name, query.what),
            figure: format!("{} ms", short(wall)),
            ratio: format!(
                "{} CPU ms, {} of zstd -3",
                short(cpu),
                short(cpu / 1e3 / self.unit.zstd_3)
            ),
            goal: goal(wall, scaled(query.goal), "ms"),
            others: format!(
                "{} / {} ms",
                short(scaled(query.loki)),
                short(scaled(query.victorialogs))
            ),
        })
    }

    /// Asks a query several times.
    pub fn cost(self, server: &Server, query: &Query) -> Result<Cost, Error> {
        let path = query
            .path
            .replace("START", &self.start.0.to_string())
            .replace("END", &self.end.0.to_string());
        let mut walls = Vec::new();
        let before = measure::cpu_seconds(server.pid());
        // The first answer warms caches and does not count.
        for _ in 0..=self.plan.repetitions {
            let started = self.clock.monotonic();
            ask(server, "GET", &path)?;
            walls.push(1e3 * self.clock.monotonic().saturating_sub(started).as_secs_f64());
        }
        let cpu = 1e3 * (measure::cpu_seconds(server.pid()) - before) / walls.len() as f64;
        walls.remove(0);
        walls.sort_by(f64::total_cmp);
        Ok(Cost { wall: walls.get(walls.len() / 2).copied().unwrap_or(0.0), cpu })
    }
}
