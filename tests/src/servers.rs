//! Real servers that Sigyn works with: S3, etcd, memcached, Redis.
//!
//! `./test` installs them and says where they are in `SIGYN_TEST_WEED`, `SIGYN_TEST_ETCD`,
//! `SIGYN_TEST_MEMCACHED` and `SIGYN_TEST_REDIS`. Each is started on free ports with its data in a
//! folder of its own, and killed when it is dropped.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use reqwest::StatusCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client;
use crate::process::free_port;
use crate::wait;

/// Key id that [`S3`] accepts.
pub const S3_KEY: &str = "sigyn";
/// Secret of [`S3_KEY`].
pub const S3_SECRET: &str = "a-secret-of-tests";
/// The bucket that [`S3`] holds.
pub const S3_BUCKET: &str = "logs";
/// A port may be taken between the look for a free one and the start.
const STARTS_MAX: usize = 3;

/// A server process and its folder.
pub struct Server {
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

/// How to start one kind of server.
struct Kind {
    name: &'static str,
    variable: &'static str,
    /// The arguments for a folder, and the port that clients use.
    arguments: fn(&Path) -> (Vec<String>, u16),
}

const WEED: Kind = Kind { name: "SeaweedFS", variable: "SIGYN_TEST_WEED", arguments: weed };
const ETCD: Kind = Kind { name: "etcd", variable: "SIGYN_TEST_ETCD", arguments: etcd };
const MEMCACHED: Kind =
    Kind { name: "memcached", variable: "SIGYN_TEST_MEMCACHED", arguments: memcached };
const REDIS: Kind = Kind { name: "Redis", variable: "SIGYN_TEST_REDIS", arguments: redis };

impl Server {
    /// Starts etcd and waits until it is healthy.
    pub async fn etcd() -> Self {
        Self::start(&ETCD, |port| async move {
            let answer = text(port, "/health").await?;
            answer.contains("true").then_some(())
        })
        .await
    }

    /// Starts memcached and waits until it answers.
    pub async fn memcached() -> Self {
        Self::start(&MEMCACHED, |port| says(port, b"version\r\n", b"VERSION")).await
    }

    /// Starts Redis and waits until it answers.
    pub async fn redis() -> Self {
        Self::start(&REDIS, |port| says(port, b"PING\r\n", b"+PONG")).await
    }

    /// The port that clients use.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as configurations write them.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What the server has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    #[expect(clippy::disallowed_methods, reason = "./test names the programs in the environment")]
    #[expect(clippy::print_stderr, reason = "the output of a failed test")]
    async fn start<F: Future<Output = Option<()>>>(kind: &Kind, ready: impl Fn(u16) -> F) -> Self {
        let program = std::env::var(kind.variable).unwrap_or_else(|_| {
            let (variable, name) = (kind.variable, kind.name);
            panic!(
                "{variable} is not set: run the tests with ./test, which installs {name}, or put \
                 eval \"$(./test tools)\" before cargo test"
            )
        });
        for _ in 0..STARTS_MAX {
            let mut server = Self::spawn(&program, kind);
            let name = kind.name;
            let is_up = wait::until(&format!("{name} answers"), || {
                let has_ended = server.child.try_wait().is_ok_and(|status| status.is_some());
                let answer = ready(server.port);
                async move { if has_ended { Some(false) } else { answer.await.map(|()| true) } }
            })
            .await;
            if is_up {
                return server;
            }
            eprintln!("{name} ended at its start:\n{}", server.log());
        }
        panic!("{} does not start", kind.name);
    }

    fn spawn(program: &str, kind: &Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (arguments, port) = (kind.arguments)(folder.path());
        let log = File::create(folder.path().join("log")).expect("a log can be opened");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::from(log.try_clone().expect("a second handle")))
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; run ./test"));
        Self { child, port, folder }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended processes answer an error, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An S3 service that holds the bucket [`S3_BUCKET`] and knows one key, [`S3_KEY`].
pub struct S3(Server);

impl S3 {
    /// Starts SeaweedFS and waits until objects can be written.
    pub async fn start() -> Self {
        let server = Server::start(&WEED, |port| async move {
            // Nobody may write without a key, and only a service that is up says so.
            let client = client::http();
            let url = format!("http://127.0.0.1:{port}/{S3_BUCKET}/ready");
            let status = client.put(url).body("x").send().await.ok()?.status();
            (status == StatusCode::FORBIDDEN).then_some(())
        })
        .await;
        let s3 = Self(server);
        s3.make_bucket().await;
        s3
    }

    /// Buckets are folders of the file service behind the S3 gateway.
    async fn make_bucket(&self) {
        let port = fs::read_to_string(self.0.folder.path().join("filer")).expect("the port");
        let url = format!("http://127.0.0.1:{port}/buckets/{S3_BUCKET}/");
        let client = client::http();
        wait::until("the bucket can be made", || async {
            let answer = client.post(&url).send().await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
    }

    /// Host and port of the S3 gateway.
    #[must_use]
    pub fn address(&self) -> String {
        self.0.address()
    }

    /// What the server has said so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.0.log()
    }

    /// What stands behind `storage:` in the `common` block of a configuration whose segments lie
    /// in this bucket, reached through `endpoint` (the service itself, or a proxy before it).
    #[must_use]
    pub fn storage(endpoint: &str) -> String {
        format!(
            "{{s3: {{endpoint: \"{endpoint}\", bucketnames: {S3_BUCKET}, access_key_id: {S3_KEY}, \
             secret_access_key: {S3_SECRET}, insecure: true, s3forcepathstyle: true}}}}"
        )
    }

    /// The `common` block of a process that works alone on this bucket.
    #[must_use]
    pub fn common_block(endpoint: &str, folder: &Path) -> String {
        let (folder, storage) = (folder.display(), Self::storage(endpoint));
        format!(
            "common: {{path_prefix: {folder}/data, replication_factor: 1, storage: {storage}}}\n"
        )
    }
}

fn weed(folder: &Path) -> (Vec<String>, u16) {
    let keys = serde_json::json!({"identities": [{
        "name": S3_KEY,
        "credentials": [{"accessKey": S3_KEY, "secretKey": S3_SECRET}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }]});
    fs::write(folder.join("keys.json"), keys.to_string()).expect("a file can be written");
    let (port, filer) = (free_port(), free_port());
    fs::write(folder.join("filer"), filer.to_string()).expect("a file can be written");
    let place = folder.display();
    let mut arguments: Vec<String> =
        ["-logtostderr=true", "server", "-ip=127.0.0.1"].map(str::to_owned).to_vec();
    arguments.extend([
        format!("-dir={place}"),
        "-ip.bind=127.0.0.1".to_owned(),
        format!("-master.port={}", free_port()),
        format!("-master.port.grpc={}", free_port()),
        "-master.telemetry=false".to_owned(),
        // Small volumes, so that a test does not reserve gigabytes.
        "-master.volumeSizeLimitMB=64".to_owned(),
        format!("-volume.port={}", free_port()),
        format!("-volume.port.grpc={}", free_port()),
        "-volume.max=40".to_owned(),
        "-filer".to_owned(),
        format!("-filer.port={filer}"),
        format!("-filer.port.grpc={}", free_port()),
        format!("-filer.localSocket={place}/filer.sock"),
        "-s3".to_owned(),
        format!("-s3.port={port}"),
        format!("-s3.port.grpc={}", free_port()),
        "-s3.port.iceberg=0".to_owned(),
        "-s3.port.lance=0".to_owned(),
        format!("-s3.config={place}/keys.json"),
    ]);
    (arguments, port)
}

fn etcd(folder: &Path) -> (Vec<String>, u16) {
    let port = free_port();
    let (client, peer) =
        (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{}", free_port()));
    let arguments = vec![
        format!("--data-dir={}/etcd", folder.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    (arguments, port)
}

fn memcached(_: &Path) -> (Vec<String>, u16) {
    let port = free_port();
    let mut arguments =
        vec!["-l".to_owned(), "127.0.0.1".to_owned(), "-p".to_owned(), port.to_string()];
    // It refuses to run as root unless it is told to.
    if rustix::process::geteuid().is_root() {
        arguments.extend(["-u".to_owned(), "root".to_owned()]);
    }
    (arguments, port)
}

fn redis(_: &Path) -> (Vec<String>, u16) {
    let port = free_port();
    let arguments = ["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""];
    (arguments.map(str::to_owned).to_vec(), port)
}

async fn text(port: u16, path: &str) -> Option<String> {
    let answer = client::http().get(format!("http://127.0.0.1:{port}{path}")).send().await.ok()?;
    answer.text().await.ok()
}

/// Whether a server answers `question` with something that begins with `expected`.
async fn says(port: u16, question: &[u8], expected: &[u8]) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
    stream.write_all(question).await.ok()?;
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).await.ok()?;
    (answer == expected).then_some(())
}
