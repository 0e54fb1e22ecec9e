//! What the same questions cost when there is more and more data.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::client::{ask, push};
use crate::compacted::settle;
use crate::error::Error;
use crate::generate;
use crate::measure;
use crate::picture::{self, Curve};
use crate::queries::{QUERIES, Query};
use crate::read::Reading;
use crate::report::{Report, Row, goal, short};
use crate::run::{Bench, DAY_SECONDS, START, Unit, make_day};
use crate::server::{Server, Settings};

/// The queries whose cost must not grow with the data, and how many times it may grow when there
/// is ten times as much.
const GROWING: &[(&str, f64)] =
    &[("needle_day", 3.0), ("nomatch", 3.0), ("meta", 3.0), ("tail_100", 1.5), ("series", 1.5)];
/// Costs below this many milliseconds are those of asking at all.
const NOISE_MS: f64 = 1.0;

/// Stores one day after the other, and asks about all of them as they become more. Days go by in
/// seconds here, so the compactor is given the time to do what it would have done in a day.
pub fn run(
    bench: Bench<'_>,
    folder: &Path,
    unit: Unit,
    report: &mut Report,
    say: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    let Bench { plan, clock, .. } = bench;
    let home = folder.join("growth");
    let (server, _) = Server::start(&plan.program, &home, Settings::Compacting, clock)?;
    let queries: Vec<(&Query, f64)> = GROWING
        .iter()
        .filter_map(|(name, most)| Some((QUERIES.iter().find(|q| q.name == *name)?, *most)))
        .collect();
    let mut curves: Vec<Curve> =
        queries.iter().map(|(query, _)| Curve { name: query.name, points: Vec::new() }).collect();
    // The last day is that of the other measurements.
    let first = START.minus(Duration::from_secs((plan.growth - 1) * DAY_SECONDS));
    let (mut bytes, mut peaks) = (0, (0.0f64, 0.0f64));
    for number in 0..plan.growth {
        say(&format!("growing: day {} of {}", number + 1, plan.growth));
        let start = first.plus(Duration::from_secs(number * DAY_SECONDS));
        let dataset = make_day(plan, folder, start, number)?;
        bytes += dataset.bytes;
        measure::reset_peak(server.pid());
        push(&server, &generate::bodies(&dataset)?, plan.connections)?;
        ask(&server, "POST", "/flush")?;
        peaks.0 = peaks.0.max(measure::peak_megabytes(server.pid()));
        for path in [&dataset.lines_path, &dataset.pushes_path] {
            fs::remove_file(path).map_err(Error::file("remove", path))?;
        }
        if !is_measured(number + 1, plan.growth) {
            continue;
        }
        settle(&server, clock)?;
        let end = start.plus(Duration::from_secs(DAY_SECONDS));
        let reading = Reading { plan, unit, clock, start: first, end };
        measure::reset_peak(server.pid());
        for ((query, _), curve) in queries.iter().zip(&mut curves) {
            let cost = reading.cost(&server, query)?;
            curve.points.push((bytes as f64 / 1e6, cost.wall));
        }
        peaks.1 = peaks.1.max(measure::peak_megabytes(server.pid()));
    }
    let (stored, objects) = measure::disk_usage(&server.segments());
    report
        .group(format!("Growth: {} days of such data, compacted, all of them asked", plan.growth));
    for ((query, most), curve) in queries.iter().zip(&curves) {
        report.row(growth_row(query, *most, curve, plan.growth));
    }
    for (name, peak, most) in [
        ("peak memory while writing", peaks.0, 400.0),
        ("peak memory while reading", peaks.1, 400.0),
    ] {
        report.row(Row {
            name: name.to_owned(),
            figure: format!("{} MB", short(peak)),
            goal: goal(peak, most, "MB"),
            ..Row::default()
        });
    }
    report.row(Row {
        name: "stored".to_owned(),
        figure: format!("{} MB in {objects} objects", short(stored as f64 / 1e6)),
        ratio: format!("{} of the lines", short(stored as f64 / bytes as f64)),
        ..Row::default()
    });
    if let Some(path) = &plan.svg {
        fs::write(path, picture::draw(&curves)).map_err(Error::file("write", path))?;
    }
    Ok(())
}

/// Whether to ask after so many days: after 1, 2, 5, 10, 20, ... and the last.
fn is_measured(days: u64, all: u64) -> bool {
    let mut magnitude = 1;
    while magnitude * 10 <= days {
        magnitude *= 10;
    }
    days == all || [1, 2, 5].iter().any(|step| days == step * magnitude)
}

fn growth_row(query: &Query, most: f64, curve: &Curve, days: u64) -> Row {
    let first = curve.points.first().map_or(0.0, |point| point.1);
    let last = curve.points.last().map_or(0.0, |point| point.1);
    let times = last / first.max(f64::MIN_POSITIVE);
    let figures: Vec<String> = curve
        .points
        .iter()
        .map(|(megabytes, wall)| format!("{} ms at {} MB", short(*wall), short(*megabytes)))
        .collect();
    // The goal is given for ten times the data; between, it grows with the logarithm.
    let most = 1.0 + (most - 1.0) * (days as f64).log10();
    let mut verdict = goal(times, most, "times");
    if last < NOISE_MS {
        verdict = format!("≤ {} times: below {NOISE_MS} ms at all sizes", short(most));
    }
    Row {
        name: format!("{}: {}", query.name, query.what),
        figure: figures.join(", "),
        ratio: format!("{} times the first", short(times)),
        goal: verdict,
        ..Row::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_spread_evenly_and_end_with_the_last() {
        let measured: Vec<u64> = (1..=30).filter(|days| is_measured(*days, 30)).collect();
        assert_eq!(measured, [1, 2, 5, 10, 20, 30]);
    }

    #[test]
    fn a_row_says_how_often_the_first_cost_was_paid() {
        let query = QUERIES.iter().find(|query| query.name == "needle_day").unwrap();
        let curve = Curve { name: "needle_day", points: vec![(100.0, 2.0), (1000.0, 5.0)] };
        let row = growth_row(query, 3.0, &curve, 10);
        assert_eq!(row.ratio, "2.50 times the first");
        assert_eq!(row.goal, "≤ 3.00 times: reached");
        let cheap = Curve { points: vec![(100.0, 0.1), (1000.0, 0.9)], ..curve };
        assert!(growth_row(query, 3.0, &cheap, 10).goal.contains("below"));
    }
}
