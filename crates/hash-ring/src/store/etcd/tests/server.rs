//! The real etcd, if the environment names its binary.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::super::super::fake;

/// The variable that names the binary of an etcd server.
const BINARY: &str = "SIGYN_TEST_ETCD";

/// A port may be taken between its choice and its use.
const STARTS_MAX: usize = 5;

/// A server of its own for one test; it ends with the test.
pub(super) struct RealEtcd {
    pub(super) address: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl RealEtcd {
    /// `None` when the environment names no binary.
    pub(super) async fn start() -> Option<Self> {
        let binary = std::env::var_os(BINARY).filter(|binary| !binary.is_empty())?;
        for _ in 0..STARTS_MAX {
            let folder = tempfile::tempdir().unwrap();
            let (client, peer) = (free_address(), format!("http://{}", free_address()));
            let url = format!("http://{client}");
            let process = Command::new(&binary)
                .arg("--data-dir")
                .arg(folder.path())
                .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
                .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
                .args(["--initial-cluster", &format!("default={peer}")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the binary that the environment names can be started");
            let mut etcd = Self { address: client, process, _folder: folder };
            if etcd.is_up().await {
                return Some(etcd);
            }
        }
        panic!("etcd does not start");
    }

    async fn is_up(&mut self) -> bool {
        let health = format!("http://{}/health", self.address);
        let client = fake::client();
        for _ in 0..600 {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            let answer = client.get(&health).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>())
                .await
                .unwrap_err();
        }
        false
    }
}

impl Drop for RealEtcd {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}
