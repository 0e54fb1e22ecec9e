//! The program under test, as a child process with a folder of its own.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use runtime::clock::Clock;

use crate::error::Error;
use crate::http::Connection;

/// Longest wait until a started server is ready.
const START_DEADLINE: Duration = Duration::from_secs(120);

/// How the program is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settings {
    /// Default settings, but for limits that a load test must exceed: it pushes a day in seconds
    /// over several connections, so that streams run hours ahead of each other's pushes.
    Default,
    /// The same, with rounds of compaction one after the other.
    Compacting,
}

/// A running server. Dropping it kills the process.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub port: u16,
    folder: PathBuf,
}

impl Server {
    /// Starts `program` with its data in `folder`, and waits until it is ready; answers also how
    /// long that took.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when it ends or is not ready in time.
    pub fn start(
        program: &Path,
        folder: &Path,
        settings: Settings,
        clock: &dyn Clock,
    ) -> Result<(Self, Duration), Error> {
        let in_folder = |doing| Error::file(doing, folder);
        fs::create_dir_all(folder).map_err(in_folder("create"))?;
        let port = free_port().map_err(in_folder("find a port for"))?;
        let config = folder.join("bench.yaml");
        fs::write(&config, configuration(folder, settings))
            .map_err(Error::file("write", &config))?;
        let log = folder.join("log");
        let log_file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(Error::file("open", &log))?;
        let started = clock.monotonic();
        let child = Command::new(program)
            .arg(format!("-config.file={}", config.display()))
            .arg(format!("-server.http-listen-port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log_file)
            .spawn()
            .map_err(Error::file("start", program))?;
        let mut server = Self { child, port, folder: folder.to_path_buf() };
        loop {
            let took = clock.monotonic().saturating_sub(started);
            if server.is_ready() {
                return Ok((server, took));
            }
            let ended = matches!(server.child.try_wait(), Ok(Some(_)) | Err(_));
            if ended || took > START_DEADLINE {
                let what = if ended { "ended at once" } else { "is not ready after two minutes" };
                return Err(server.fault(what));
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn is_ready(&self) -> bool {
        let answer = Connection::open(self.port).and_then(|mut c| c.get("/ready"));
        matches!(answer, Ok((200, _)))
    }

    /// The process's number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The folder of stored segments.
    pub fn segments(&self) -> PathBuf {
        self.folder.join("data/chunks")
    }

    /// Kills the process as a power cut would.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] when that is not possible.
    pub fn kill(mut self) -> Result<(), Error> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(|_| ()).map_err(|error| self.fault(&error.to_string()))
    }

    /// An error of this server.
    pub fn fault(&self, what: &str) -> Error {
        Error::Server { what: what.to_owned(), log: self.folder.join("log") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn configuration(folder: &Path, settings: Settings) -> String {
    let folder = folder.display();
    let compactor = match settings {
        Settings::Default => "",
        Settings::Compacting => {
            "compactor: {compaction_interval: 1s, superseded_delete_delay: 1s}\n"
        }
    };
    format!(
        "auth_enabled: false\n\
         server: {{http_listen_address: 127.0.0.1, log_level: warn}}\n\
         common: {{path_prefix: {folder}/data, replication_factor: 1}}\n\
         limits_config: {{ingestion_rate_mb: 10000, ingestion_burst_size_mb: 10000, \
         per_stream_rate_limit: 10GB, per_stream_rate_limit_burst: 10GB, \
         reject_old_samples: false, max_global_streams_per_user: 0, max_query_series: 100000, \
         max_entries_limit_per_query: 0}}\n\
         ingester: {{max_chunk_age: 48h}}\n\
         {compactor}"
    )
}
