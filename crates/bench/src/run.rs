//! The run: make data, measure yardsticks, write, read, crash, report.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::Timestamp;
use runtime::clock::{Clock, SystemClock};

use crate::error::Error;
use crate::generate::{self, Dataset, Shape};
use crate::http::Connection;
use crate::queries::{QUERIES, Query, REFERENCE_BYTES, REFERENCE_ZSTD_3};
use crate::report::{Report, Row, goal, short};
use crate::server::Server;
use crate::{lines, measure, yardstick};

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
}

/// First time of the data: 2026-11-19T00:00:00Z.
const START: Timestamp = Timestamp(1_795_046_400_000_000_000);
const DAY_SECONDS: u64 = 86_400;
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
    let mut report = Report::default();

    say("making lines");
    let dataset = make(plan, folder)?;
    say("measuring yardsticks");
    let unit = yardsticks(&dataset, &clock, &mut report)?;
    let bench = Bench { plan, dataset: &dataset, clock: &clock };
    let home = folder.join("server");
    say("writing");
    let (server, _) = Server::start(&plan.program, &home, &clock)?;
    bench.write(&server, unit, &mut report)?;
    say("reading");
    read(plan, &server, unit, &clock, &mut report)?;
    say("crashing");
    bench.crash(server, &home, &mut report)?;
    Ok(report.print())
}

fn make(plan: &Plan, folder: &Path) -> Result<Dataset, Error> {
    let mut apps = match &plan.lines {
        Some(folder) => lines::from_folder(folder)?,
        None => lines::built_in(),
    };
    let shape = Shape {
        bytes: plan.megabytes * 1_000_000,
        pods: plan.pods,
        start: START,
        span_seconds: DAY_SECONDS,
        seed: plan.seed,
    };
    generate::generate(shape, &mut apps, folder, "mix")
}

/// What every part of a run needs.
#[derive(Clone, Copy)]
struct Bench<'a> {
    plan: &'a Plan,
    dataset: &'a Dataset,
    clock: &'a dyn Clock,
}

/// The yardsticks of this machine and data: what others' figures are scaled by.
#[derive(Debug, Clone, Copy)]
struct Unit {
    /// CPU seconds of `zstd -3`.
    zstd_3: f64,
    /// Line bytes.
    bytes: f64,
}

impl Unit {
    /// How much slower this run is than the reference, data size included.
    fn scale(&self) -> f64 {
        self.zstd_3 / REFERENCE_ZSTD_3
    }

    /// How much more data there is than in the reference.
    fn size(&self) -> f64 {
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

    /// Leaves acknowledged lines in the heads, kills the process, and counts what comes back.
    fn crash(self, server: Server, home: &Path, report: &mut Report) -> Result<(), Error> {
        let Self { plan, dataset, clock } = self;
        drop(server);
        let folder = home.with_extension("crash");
        let (server, _) = Server::start(&plan.program, &folder, clock)?;
        let mut bodies = generate::bodies(dataset)?;
        bodies.truncate(CRASH_PUSHES);
        push(&server, &bodies, plan.connections)?;
        let acknowledged = count_lines(&server)?;
        server.kill()?;
        let (server, took) = Server::start(&plan.program, &folder, clock)?;
        let found = count_lines(&server)?;
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

/// Pushes all bodies over several connections, trying again when told to wait.
fn push(server: &Server, bodies: &[Vec<u8>], connections: usize) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                if let Err(error) = push_some(server, bodies, &next)
                    && let Ok(mut failure) = failure.lock()
                {
                    *failure = Some(error);
                }
            });
        }
    });
    failure.into_inner().ok().flatten().map_or(Ok(()), Err)
}

fn push_some(server: &Server, bodies: &[Vec<u8>], next: &AtomicUsize) -> Result<(), Error> {
    let path = "/loki/api/v1/push";
    let fault = |answer: String| Error::Answer { request: path.to_owned(), answer };
    let mut connection = Connection::open(server.port).map_err(|e| fault(e.to_string()))?;
    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut tries = 0;
        loop {
            let answer = connection.post(path, "application/x-protobuf", body);
            match answer.map_err(|e| fault(e.to_string()))? {
                (204, _) => break,
                (429 | 503, _) if tries < 600 => {
                    tries += 1;
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                (status, text) => {
                    return Err(fault(format!("{status} {}", String::from_utf8_lossy(&text))));
                }
            }
        }
    }
    Ok(())
}

/// Sends a request that must succeed.
fn ask(server: &Server, method: &str, path: &str) -> Result<Vec<u8>, Error> {
    let answer = Connection::open(server.port).and_then(|mut connection| match method {
        "POST" => connection.post(path, "text/plain", b""),
        _ => connection.get(path),
    });
    match answer {
        Ok((200 | 204, body)) => Ok(body),
        Ok((status, body)) => Err(Error::Answer {
            request: path.to_owned(),
            answer: format!("{status} {}", String::from_utf8_lossy(&body)),
        }),
        Err(error) => Err(Error::Answer { request: path.to_owned(), answer: error.to_string() }),
    }
}

fn read(
    plan: &Plan,
    server: &Server,
    unit: Unit,
    clock: &dyn Clock,
    report: &mut Report,
) -> Result<(), Error> {
    report.group("Reading: median wall time over the whole day, nothing cached");
    measure::reset_peak(server.pid());
    for query in QUERIES {
        let row = time_query(plan, server, query, unit, clock)?;
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

fn time_query(
    plan: &Plan,
    server: &Server,
    query: &Query,
    unit: Unit,
    clock: &dyn Clock,
) -> Result<Row, Error> {
    let end = START.plus(Duration::from_secs(DAY_SECONDS));
    let path = query.path.replace("START", &START.0.to_string()).replace("END", &end.0.to_string());
    let mut walls = Vec::new();
    let before = measure::cpu_seconds(server.pid());
    // The first answer warms caches and does not count.
    for _ in 0..=plan.repetitions {
        let started = clock.monotonic();
        ask(server, "GET", &path)?;
        walls.push(1e3 * clock.monotonic().saturating_sub(started).as_secs_f64());
    }
    let cpu = 1e3 * (measure::cpu_seconds(server.pid()) - before) / walls.len() as f64;
    walls.remove(0);
    walls.sort_by(f64::total_cmp);
    let median = walls.get(walls.len() / 2).copied().unwrap_or(0.0);
    let scaled = |figure: f64| figure * unit.scale();
    Ok(Row {
        name: format!("{}: {}", query.name, query.what),
        figure: format!("{} ms", short(median)),
        ratio: format!("{} CPU ms", short(cpu)),
        goal: goal(median, scaled(query.goal), "ms"),
        others: format!("{} / {} ms", short(scaled(query.loki)), short(scaled(query.victorialogs))),
    })
}

/// How many lines the store holds, by its own count.
fn count_lines(server: &Server) -> Result<u64, Error> {
    let end = START.plus(Duration::from_secs(DAY_SECONDS)).0 / 1_000_000_000;
    let path = format!(
        "/loki/api/v1/query?query=sum%28count_over_time%28%7Bapp%3D~%22.%2B%22%7D%5B25h%5D%29%29&time={end}"
    );
    let body = ask(server, "GET", &path)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let value = text.split("\"value\":[").nth(1).and_then(|rest| rest.split('"').nth(1));
    value
        .and_then(|digits| digits.parse().ok())
        .ok_or(Error::Answer { request: path, answer: text })
}
