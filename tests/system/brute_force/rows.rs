//! Rows whose facts are known, because the lines are made of them.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Nanoseconds of a second.
pub const SECOND: i64 = 1_000_000_000;
/// The first time, 2024-05-01T00:00:00Z: a whole day, so that steps are aligned.
pub const START: i64 = 1_714_521_600 * SECOND;
/// The first time after the rows.
pub const END: i64 = START + 3 * 3600 * SECOND;
/// A word that stands in one line only.
pub const NEEDLE: &str = "needle-3f9a1c77e2b84d60";

/// One row and what its line says.
#[derive(Debug, Clone)]
pub struct Row {
    pub at: i64,
    pub app: &'static str,
    pub pod: String,
    pub cluster: &'static str,
    pub line: String,
    pub trace_id: Option<String>,
    pub facts: Facts,
}

/// What a line says.
#[derive(Debug, Clone)]
pub enum Facts {
    Web { status: u32, latency: f64, path: &'static str, plan: &'static str },
    Logfmt { level: &'static str, component: &'static str, seconds: Option<f64> },
    Login { failed: bool, user: &'static str, address: String },
    Block { id: u64 },
    Plain,
}

/// Rows in the order of time; equal seeds give equal rows. No two rows of a stream share a time.
pub fn rows(seed: u64, count: usize) -> Vec<Row> {
    let mut dice = StdRng::seed_from_u64(seed);
    let gap = (END - START) / count as i64;
    let mut rows = Vec::with_capacity(count);
    for number in 0..count {
        let at = START + number as i64 * gap + dice.random_range(0..gap);
        let app = *pick(&mut dice, &APPS);
        let pod = format!("{app}-{}", dice.random_range(0..3));
        let (mut line, facts) = line(app, at, &mut dice);
        if number == count / 2 {
            line = format!("{line} {NEEDLE}");
        }
        let trace_id = dice.random_bool(0.1).then(|| format!("{:032x}", dice.random::<u128>()));
        let cluster = if pod.ends_with('0') { "c1" } else { "c2" };
        rows.push(Row { at, app, pod, cluster, line, trace_id, facts });
    }
    rows
}

const APPS: [&str; 6] =
    ["web", "agent-logfmt", "distributor-logfmt", "openssh", "hdfs", "kubernetes"];

fn pick<'t, T>(dice: &mut StdRng, choices: &'t [T]) -> &'t T {
    &choices[dice.random_range(0..choices.len())]
}

fn line(app: &str, at: i64, dice: &mut StdRng) -> (String, Facts) {
    match app {
        "web" => web(dice),
        "agent-logfmt" | "distributor-logfmt" => logfmt(at, dice),
        "openssh" => login(dice),
        "hdfs" => {
            let id: u64 = dice.random_range(1..1 << 40);
            let peer = address(dice);
            (
                format!("INFO dfs.DataNode: Received block blk_{id} from /{peer}"),
                Facts::Block { id },
            )
        }
        _ => {
            let texts = [
                "E reflector.go: Failed to watch: the server returned an ERROR",
                "W client.go: error on receive: timeout",
                "I schedule_one.go: \"Successfully bound pod to node\"",
                "I controller.go: \"terror level is low\"",
            ];
            let text = *pick(dice, &texts);
            (format!("{text} took={}", dice.random_range(0..900)), Facts::Plain)
        }
    }
}

fn web(dice: &mut StdRng) -> (String, Facts) {
    let status = *pick(dice, &[200, 200, 200, 304, 404, 429, 499, 500, 502, 503]);
    // Written with three digits, so that the fact is what the line says.
    let latency = f64::from(dice.random_range(1..5000u32)) / 1000.0;
    let path = *pick(dice, &["/", "/login", "/api/v1/orders", "/search"]);
    let plan = *pick(dice, &["free", "pro", "team"]);
    let user = dice.random_range(0..5000);
    let line = format!(
        "{{\"level\":\"info\",\"request\":{{\"method\":\"GET\",\"path\":\"{path}\"}},\
         \"status\":{status},\"latency_s\":{latency:.3},\"user\":{{\"id\":{user},\
         \"plan\":\"{plan}\"}}}}"
    );
    (line, Facts::Web { status, latency, path, plan })
}

fn logfmt(at: i64, dice: &mut StdRng) -> (String, Facts) {
    let level = *pick(dice, &["info", "info", "debug", "warn", "error"]);
    let component = *pick(dice, &["router", "auth", "limiter"]);
    let millis: u32 = dice.random_range(1..90_000);
    // Some lines have no duration, and some one that is none.
    let (text, seconds) = match dice.random_range(0..10) {
        0 => (String::new(), None),
        1 => (" duration=unknown".to_owned(), None),
        _ => (format!(" duration={millis}ms"), Some(f64::from(millis) / 1000.0)),
    };
    let line = format!("ts={at} level={level} component={component}{text} msg=\"request served\"");
    (line, Facts::Logfmt { level, component, seconds })
}

fn login(dice: &mut StdRng) -> (String, Facts) {
    let address = address(dice);
    let user = *pick(dice, &["root", "admin", "user1", "oracle"]);
    let invalid = if dice.random() { "invalid user " } else { "" };
    let failed = dice.random();
    let line = if failed {
        format!("sshd[7]: Failed password for {invalid}{user} from {address} port 22 ssh2")
    } else {
        format!("sshd[7]: Accepted password for {user} from {address} port 22 ssh2")
    };
    (line, Facts::Login { failed, user, address })
}

fn address(dice: &mut StdRng) -> String {
    let part = dice.random_range(1..256);
    format!("{part}.{}.0.{}", dice.random_range(0..256), dice.random_range(1..255))
}
