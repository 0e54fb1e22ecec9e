//! The real program, started in a folder of its own.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::wait;

/// A running `sigyn`. Dropping it kills the process; the folder belongs to the caller.
pub struct Sigyn {
    child: Child,
    address: String,
    port: u16,
    folder: PathBuf,
}

/// How to start the program.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// YAML merged behind the defaults of [`Sigyn::start`]; may be empty.
    pub config: String,
    /// A command line put in front of the program, such as `unshare -m`.
    pub wrapper: Vec<String>,
}

/// The program: the one that `SIGYN_TEST_BINARY` names, else built once per test run with the
/// profile of the tests.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "who has built another program names it")]
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Ok(path) = std::env::var("SIGYN_TEST_BINARY") {
            return path.into();
        }
        let test = std::env::current_exe().expect("a test knows its own path");
        let profile = test.ancestors().nth(2).expect("tests lie in PROFILE/deps").to_path_buf();
        let mut cargo = Command::new(env!("CARGO"));
        // The whole workspace, so that the features of dependencies are those of the tests.
        cargo.args(["build", "--quiet", "--workspace", "--bin", "sigyn"]);
        if profile.file_name().is_some_and(|name| name == "release") {
            cargo.arg("--release");
        }
        let target = profile.parent().expect("profiles lie in the target folder");
        let status = cargo.env("CARGO_TARGET_DIR", target).status().expect("cargo runs");
        assert!(status.success(), "building the program failed");
        profile.join("sigyn")
    })
}

/// A port nobody listens on, and nobody will: none of those from which the system takes the ports of
/// connections, so that a process that was stopped gets it again.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ports = u32::from(PORTS.end - PORTS.start);
    let first = std::process::id().wrapping_mul(197) % ports;
    let mut tried = (0..ports).map(|_| {
        let at = (first + NEXT.fetch_add(1, Ordering::Relaxed)) % ports;
        PORTS.start + u16::try_from(at).expect("within the range")
    });
    tried.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

/// Below the ports of connections that the system chooses.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

impl Sigyn {
    /// Starts the program on a free port with its data in `folder`, and waits until it is ready.
    pub async fn start(folder: &Path, start: Start) -> Self {
        let sigyn = Self::spawn(folder, &start);
        sigyn.await_ready().await;
        sigyn
    }

    /// Starts the program without waiting.
    ///
    /// # Panics
    ///
    /// When it cannot be started at all.
    #[must_use]
    pub fn spawn(folder: &Path, start: &Start) -> Self {
        Self::spawn_on(free_port(), folder, start)
    }

    /// As [`Sigyn::spawn`], listening on a port of the caller's choice.
    ///
    /// # Panics
    ///
    /// When it cannot be started at all.
    #[must_use]
    pub fn spawn_on(port: u16, folder: &Path, start: &Start) -> Self {
        Self::spawn_at("127.0.0.1", port, folder, start)
    }

    /// As [`Sigyn::spawn_on`], with its API found at an address of the caller's choice; the
    /// configuration has to say that it listens there.
    ///
    /// # Panics
    ///
    /// When it cannot be started at all.
    #[must_use]
    pub fn spawn_at(address: &str, port: u16, folder: &Path, start: &Start) -> Self {
        let config = folder.join("sigyn.yaml");
        fs::create_dir_all(folder).expect("the folder can be made");
        fs::write(&config, configuration(folder, &start.config)).expect("a file can be written");
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .expect("a log can be opened");
        let mut line = start.wrapper.clone();
        line.push(binary().to_string_lossy().into_owned());
        line.push(format!("-config.file={}", config.display()));
        line.push(format!("-server.http-listen-port={port}"));
        let child = Command::new(&line[0])
            .args(&line[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::from(log))
            .spawn()
            .expect("the program starts");
        Self { child, address: address.to_owned(), port, folder: folder.to_path_buf() }
    }

    /// Waits until `/ready` answers 200.
    pub async fn await_ready(&self) {
        let client = self.client();
        wait::until("/ready answers 200", || client.is_ready()).await;
    }

    /// A client of this process.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&format!("http://{}:{}", self.address, self.port))
    }

    /// The process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends the process as a power cut would: SIGKILL, no chance to clean up.
    ///
    /// # Panics
    ///
    /// When the process cannot be waited for.
    pub fn kill(mut self) {
        self.child.kill().expect("a child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Stops the process's threads where they are, as a machine that hangs does.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Lets the threads of a paused process go on.
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process number fits");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process number is not zero");
        rustix::process::kill_process(pid, signal).expect("it is there");
    }

    /// Asks the process to stop (SIGTERM).
    pub fn begin_stop(&self) {
        self.signal(rustix::process::Signal::TERM);
    }

    /// Asks the process to stop (SIGTERM) and waits for it.
    ///
    /// # Panics
    ///
    /// When it does not stop in time, or stops with another code than 0.
    pub async fn stop(self) {
        self.begin_stop();
        self.stopped().await;
    }

    /// Waits for a process that was asked to stop.
    ///
    /// # Panics
    ///
    /// When it does not stop in time, or stops with another code than 0.
    pub async fn stopped(mut self) {
        let mut child = std::mem::replace(&mut self.child, placeholder());
        let waited = tokio::time::timeout(
            Duration::from_secs(60),
            tokio::task::spawn_blocking(move || child.wait()),
        );
        let status = waited.await.expect("it stops in time").expect("no panic").expect("a status");
        assert!(status.success(), "stopped with {status}; log:\n{}", self.log());
    }

    /// Everything the program has logged so far, over all starts in this folder.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Sigyn {
    fn drop(&mut self) {
        // Already ended processes answer an error, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child that has ended, put where [`Sigyn::stop`] took the real one.
fn placeholder() -> Child {
    Command::new("true").spawn().expect("`true` starts")
}

/// The configuration of a test: no limits that would be met by accident, then the test's own keys.
fn configuration(folder: &Path, own: &str) -> String {
    let folder = folder.display();
    let mut blocks: Vec<(&str, String)> = vec![
        ("auth_enabled", "auth_enabled: false\n".to_owned()),
        ("server", "server: {http_listen_address: 127.0.0.1, log_level: info}\n".to_owned()),
        (
            "common",
            format!(
                "common: {{path_prefix: {folder}/data, replication_factor: 1, storage: {{filesystem: \
                 {{chunks_directory: {folder}/data/chunks}}}}}}\n"
            ),
        ),
        (
            "limits_config",
            "limits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
             per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, \
             reject_old_samples: false, max_global_streams_per_user: 0}\n"
                .to_owned(),
        ),
    ];
    // A block that the test gives itself replaces the default one.
    blocks.retain(|(name, _)| !own.lines().any(|line| line.starts_with(&format!("{name}:"))));
    blocks.into_iter().map(|(_, text)| text).collect::<String>() + own
}
