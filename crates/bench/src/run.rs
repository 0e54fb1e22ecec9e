//! The run: make data, measure yardsticks, write, read, crash, report.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;
use runtime::clock::{Clock, SystemClock};

use crate::client::{ask, count_lines, push};
use crate::error::Error;
use crate::generate::{self, Dataset, Shape};
use crate::queries::{REFERENCE_BYTES, REFERENCE_ZSTD_3};
use crate::read::Reading;
use crate::report::{Report, Row, goal, short};
use crate::server::{Server, Settings};
use crate::{compacted, growth, lines, measure, yardstick};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The program to measure.
    pub program: PathBuf,
    /// Megabytes (10^6) of lines.
    pub megabytes: u64,
    /// Streams per application.
    pub pods: u64,
    /// Seed of the data.
    pub seed: u64,
    /// Folder of real lines to vary, instead of the built-in templates.
    pub lines: Option<PathBuf>,
    /// Where to work; a temporary folder otherwise.
    pub folder: Option<PathBuf>,
    /// Connections that push at the same time.
    pub connections: usize,
    /// How often each query is asked; the median counts.
    pub repetitions: usize,
    /// Days of such data to which the store is grown; 0 to leave that out.
    pub growth: u64,
    /// Where to draw cost against data size.
    pub svg: Option<PathBuf>,
}

/// First time of the data: 2026-11-19T00:00:00Z.
pub const START: Timestamp = Timestamp(1_795_046_400_000_000_000);
pub const DAY_SECONDS: u64 = 86_400;
/// Streams of the set that has many of them, and the part of the lines that it has.
const MANY_STREAMS: u64 = 40_500;
const MANY_STREAMS_PART: u64 = 5;
/// Pushes left in the heads when the process is killed.
const CRASH_PUSHES: usize = 100;

/// Runs the plan; `say` is told what is under way. Answers the report as Markdown.
///
/// # Errors
///
/// [`Error`] when the data cannot be made or the server misbehaves.
pub fn run(plan: &Plan, say: &mut dyn FnMut(&str)) -> Result<String, Error> {
    let clock = SystemClock;
    let temporary = tempfile::tempdir().map_err(Error::file("create", "a temporary folder"))?;
    let folder = plan.folder.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(folder).map_err(Error::file("create", folder))?;
    let mut report = Report::default();

    say("making lines");
    let dataset = make(plan, folder)?;
    say("measuring yardsticks");
    let unit = yardsticks(&dataset, &clock, &mut report)?;
    let bench = Bench { plan, dataset: &dataset, clock: &clock };
    let home = folder.join("server");
    say("writing");
    let (server, _) = Server::start(&plan.program, &home, Settings::Default, &clock)?;
    bench.write(&server, unit, &mut report)?;
    say("reading");
    let end = START.plus(Duration::from_secs(DAY_SECONDS));
    let reading = Reading { plan, unit, clock: &clock, start: START, end };
    reading.all(&server, "as flushed", &mut report)?;
    drop(server);
    say("compacting");
    let server = compacted::compact(bench, &home, unit, &mut report)?;
    say("reading what was compacted");
    reading.all(&server, "compacted", &mut report)?;
    drop(server);
    say("crashing");
    bench.crash(&home, &mut report)?;
    say("writing many streams");
    bench.many_streams(folder, unit, &mut report)?;
    if plan.growth > 0 {
        growth::run(bench, folder, unit, &mut report, say)?;
    }
    Ok(report.print())
}

fn make(plan: &Plan, folder: &Path) -> Result<Dataset, Error> {
    make_day(plan, folder, START, 0)
}

/// The lines of a day; the words that stand in one line only are in those of day 0.
pub fn make_day(
    plan: &Plan,
    folder: &Path,
    start: Timestamp,
    number: u64,
) -> Result<Dataset, Error> {
    let mut apps = apps(plan)?;
    let shape = Shape {
        bytes: plan.megabytes * 1_000_000,
        pods: plan.pods,
        start,
        span_seconds: DAY_SECONDS,
        seed: plan.seed + number,
        has_needle: number == 0,
    };
    generate::generate(shape, &mut apps, folder, "mix")
}

fn apps(plan: &Plan) -> Result<Vec<lines::App>, Error> {
    plan.lines.as_deref().map_or_else(|| Ok(lines::built_in()), lines::from_folder)
}

/// What every part of a run needs.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    pub plan: &'a Plan,
    pub dataset: &'a Dataset,
    pub clock: &'a dyn Clock,
}

/// The yardsticks of this machine and data: what others' figures are scaled by.
#[derive(Debug, Clone, Copy)]
pub struct Unit {
    /// CPU seconds of `zstd -3`.
    pub zstd_3: f64,
    /// Line bytes.
    pub bytes: f64,
}

impl Unit {
    /// How much slower this run is than the reference, data size included.
    pub fn scale(&self) -> f64 {
        self.zstd_3 / REFERENCE_ZSTD_3
    }

    /// How much more data there is than in the reference.
    pub fn size(&self) -> f64 {
        self.bytes / REFERENCE_BYTES
    }
}

fn yardsticks(dataset: &Dataset, clock: &dyn Clock, report: &mut Report) -> Result<Unit, Error> {
    report.group(format!("Yardsticks: {} lines, {} bytes", dataset.lines, dataset.bytes));
    let mut zstd_3 = 0.0;
    for level in [1, 3] {
        let result = yardstick::zstd(&dataset.lines_path, level)?;
        zstd_3 = result.cpu;
        report.row(Row {
            name: format!("zstd -{level}"),
            figure: format!("{} CPU s, {} MB", short(result.cpu), short(result.bytes as f64 / 1e6)),
            ..Row::default()
        });
    }
    let searches: [(&str, &[&str]); 2] =
        [("rg -c needle", &["-c", dataset.needle]), ("rg -ic error", &["-ic", "error"])];
    for (name, arguments) in searches {
        let figure = match yardstick::ripgrep(clock, &dataset.lines_path, arguments) {
            Some(took) => format!("{} ms", short(1e3 * took.as_secs_f64())),
            None => "rg is not installed".to_owned(),
        };
        report.row(Row { name: name.to_owned(), figure, ..Row::default() });
    }
    Ok(Unit { zstd_3, bytes: dataset.bytes as f64 })
}

impl Bench<'_> {
    fn write(self, server: &Server, unit: Unit, report: &mut Report) -> Result<(), Error> {
        let Self { plan, dataset, clock } = self;
        let bodies = generate::bodies(dataset)?;
        let before = measure::cpu_seconds(server.pid());
        let started = clock.monotonic();
        push(server, &bodies, plan.connections)?;
        let wall = clock.monotonic().saturating_sub(started).as_secs_f64();
        ask(server, "POST", "/flush")?;
        let cpu = measure::cpu_seconds(server.pid()) - before;
        let peak = measure::peak_megabytes(server.pid());
        let (stored, objects) = measure::disk_usage(&server.segments());
        report.group("Writing: pushed, synced to disk before each answer, flushed as segments");
        report.row(Row {
            name: "CPU".to_owned(),
            figure: format!("{} s", short(cpu)),
            ratio: format!("{}× zstd -3", short(cpu / unit.zstd_3)),
            goal: goal(cpu, 2.5 * unit.zstd_3, "s"),
            others: format!("{} / {} s", short(15.5 * unit.zstd_3), short(17.7 * unit.zstd_3)),
        });
        report.row(Row {
            name: "wall".to_owned(),
            figure: format!("{} s, {} MB/s of lines", short(wall), short(unit.bytes / 1e6 / wall)),
            ..Row::default()
        });
        report.row(Row {
            name: "peak memory".to_owned(),
            figure: format!("{} MB", short(peak)),
            goal: goal(peak, 300.0, "MB"),
            others: "1392 / 367 MB".to_owned(),
            ..Row::default()
        });
        report.row(Row {
            name: "stored".to_owned(),
            figure: format!("{} MB in {objects} objects", short(stored as f64 / 1e6)),
            ratio: format!("{} of the lines", short(stored as f64 / unit.bytes)),
            goal: goal(stored as f64 / 1e6, 115.0 * unit.size(), "MB"),
            others: format!("{} / {} MB", short(239.9 * unit.size()), short(201.8 * unit.size())),
        });
        Ok(())
    }

    /// Writes a set with many streams, each of which has few lines.
    fn many_streams(self, folder: &Path, unit: Unit, report: &mut Report) -> Result<(), Error> {
        let Self { plan, clock, .. } = self;
        let mut apps = apps(plan)?;
        let shape = Shape {
            bytes: plan.megabytes * 1_000_000 / MANY_STREAMS_PART,
            pods: MANY_STREAMS.div_ceil(apps.len() as u64),
            start: START,
            span_seconds: DAY_SECONDS,
            seed: plan.seed,
            has_needle: false,
        };
        let dataset = generate::generate(shape, &mut apps, folder, "streams")?;
        let home = folder.join("streams");
        let (server, _) = Server::start(&plan.program, &home, Settings::Default, clock)?;
        let before = measure::cpu_seconds(server.pid());
        push(&server, &generate::bodies(&dataset)?, plan.connections)?;
        ask(&server, "POST", "/flush")?;
        let cpu = measure::cpu_seconds(server.pid()) - before;
        let peak = measure::peak_megabytes(server.pid());
        let (stored, objects) = measure::disk_usage(&server.segments());
        let megabytes = short(dataset.bytes as f64 / 1e6);
        report.group(format!("Many streams: {MANY_STREAMS} of them in {megabytes} MB"));
        report.row(Row {
            name: "CPU".to_owned(),
            figure: format!("{} s", short(cpu)),
            ratio: format!("{}× zstd -3 of the mix", short(cpu / unit.zstd_3)),
            goal: goal(cpu, 2.5 * unit.scale(), "s"),
            others: format!("{} / {} s", short(13.7 * unit.scale()), short(8.4 * unit.scale())),
        });
        report.row(Row {
            name: "peak memory".to_owned(),
            figure: format!("{} MB", short(peak)),
            goal: goal(peak, 250.0, "MB"),
            others: "1233 / 258 MB".to_owned(),
            ..Row::default()
        });
        report.row(Row {
            name: "stored".to_owned(),
            figure: format!("{} MB in {objects} objects", short(stored as f64 / 1e6)),
            ratio: format!("{} of the lines", short(stored as f64 / dataset.bytes as f64)),
            ..Row::default()
        });
        drop(server);
        for path in [&dataset.lines_path, &dataset.pushes_path] {
            fs::remove_file(path).map_err(Error::file("remove", path))?;
        }
        Ok(())
    }

    /// Leaves acknowledged lines in the heads, kills the process, and counts what comes back.
    fn crash(self, home: &Path, report: &mut Report) -> Result<(), Error> {
        let Self { plan, dataset, clock } = self;
        let end = START.plus(Duration::from_secs(DAY_SECONDS));
        let folder = home.with_extension("crash");
        let start = || Server::start(&plan.program, &folder, Settings::Default, clock);
        let (server, _) = start()?;
        let mut bodies = generate::bodies(dataset)?;
        bodies.truncate(CRASH_PUSHES);
        push(&server, &bodies, plan.connections)?;
        let acknowledged = count_lines(&server, end)?;
        server.kill()?;
        let (server, took) = start()?;
        let found = count_lines(&server, end)?;
        let lost = acknowledged.saturating_sub(found);
        report.group("SIGKILL with unflushed lines");
        report.row(Row {
            name: format!("{acknowledged} lines acknowledged, then killed"),
            figure: format!("{lost} lost, ready after {} s", short(took.as_secs_f64())),
            goal: goal(took.as_secs_f64(), 2.0, "s"),
            others: "Loki 11,128 of 1.2 M lost, 19 s / VictoriaLogs all lost, 3 s".to_owned(),
            ..Row::default()
        });
        Ok(())
    }
}
