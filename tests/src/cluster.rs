//! Many real processes that work as one.

mod settings;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;

use crate::client::Client;
use crate::process::{Sigyn, Start, free_port};

pub use settings::{Finding, Settings};

/// One process: what it runs, and where others reach it. All of it outlives restarts.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, and that of its folder.
    pub name: String,
    /// What stands in `-target`.
    pub target: &'static str,
    /// Zone of availability.
    pub zone: String,
    /// Port of its HTTP API.
    pub http: u16,
    /// Port of its gRPC.
    pub grpc: u16,
    /// Port of its gossip.
    pub gossip: u16,
    /// The address on which it listens, and at which everybody finds it.
    pub address: String,
    /// A command line put in front of the program, such as `ip netns exec`.
    pub wrapper: Vec<String>,
}

/// Running members. Dropping it kills them all; the folder belongs to the caller.
pub struct Cluster {
    folder: PathBuf,
    configure: Configure,
    members: Vec<(Member, Option<Sigyn>)>,
}

/// Makes the configuration of a member from its folder and all members.
pub type Configure = Box<dyn Fn(&Member, &Path, &[Member]) -> String + Send + Sync>;

impl Member {
    /// A member on free ports.
    #[must_use]
    pub fn new(target: &'static str, number: usize, zone: &str) -> Self {
        Self {
            name: format!("{target}-{number}"),
            target,
            zone: zone.to_owned(),
            http: free_port(),
            grpc: free_port(),
            gossip: free_port(),
            address: "127.0.0.1".to_owned(),
            wrapper: Vec::new(),
        }
    }
}

impl Cluster {
    /// Starts all members at once and waits until every one is ready. Members of a ring may not have
    /// heard of each other yet: [`Self::start_ring`].
    pub async fn start(folder: &Path, members: Vec<Member>, configure: Configure) -> Self {
        let members = members.into_iter().map(|member| (member, None)).collect();
        let mut cluster = Self { folder: folder.to_path_buf(), configure, members };
        for index in 0..cluster.members.len() {
            cluster.spawn(index);
        }
        cluster.await_ready().await;
        cluster
    }

    /// Starts all members of one ring at once and waits until every one is ready and sees them all.
    pub async fn start_ring(folder: &Path, members: Vec<Member>, configure: Configure) -> Self {
        let cluster = Self::start(folder, members, configure).await;
        cluster.await_ring().await;
        cluster
    }

    /// Waits until every running member is ready.
    pub async fn await_ready(&self) {
        join_all(self.running().map(|(_, process)| process.await_ready())).await;
    }

    /// Waits until every running member that asks ingesters sees all of them as ACTIVE; one that is
    /// ready may not have heard of the others yet.
    async fn await_ring(&self) {
        let count = self.names(&["all", "write", "ingester"]).len();
        let asks = ["all", "write", "read", "distributor", "ingester", "querier"];
        for (member, process) in self.running().filter(|(member, _)| asks.contains(&member.target))
        {
            let client = process.client().with_header("Accept", "application/json");
            crate::wait::until(&format!("{} sees {count} ingesters", member.name), || async {
                let ring = client.get("/ring", &[]).await.ok()?.text().await.ok()?;
                let ring: serde_json::Value = serde_json::from_str(&ring).ok()?;
                let rows = ring["shards"].as_array()?.iter();
                let active = rows.filter(|row| row["state"] == "ACTIVE").count();
                (active == count).then_some(())
            })
            .await;
        }
    }

    /// Names of the members whose target is one of `targets`, running or not.
    #[must_use]
    pub fn names(&self, targets: &[&str]) -> Vec<String> {
        let members = self.members.iter().map(|(member, _)| member);
        let wanted = members.filter(|member| targets.contains(&member.target));
        wanted.map(|member| member.name.clone()).collect()
    }

    /// Clients of the members whose target is one of `targets`, running or not.
    #[must_use]
    pub fn clients(&self, targets: &[&str]) -> Vec<Client> {
        self.names(targets).iter().map(|name| self.client(name)).collect()
    }

    /// A client of a member.
    ///
    /// # Panics
    ///
    /// When there is no such member.
    #[must_use]
    pub fn client(&self, name: &str) -> Client {
        Client::new(&self.base(name))
    }

    /// The URL of a member's API.
    ///
    /// # Panics
    ///
    /// When there is no such member.
    #[must_use]
    pub fn base(&self, name: &str) -> String {
        let member = &self.members[self.index(name)].0;
        format!("http://{}:{}", member.address, member.http)
    }

    /// Ends a member as a power cut would (SIGKILL).
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn kill(&mut self, name: &str) {
        self.take(name).kill();
    }

    /// Stops a member in order (SIGTERM) and waits until it has ended.
    ///
    /// # Panics
    ///
    /// When it does not run, or does not end well.
    pub async fn stop(&mut self, name: &str) {
        self.take(name).stop().await;
    }

    /// Asks a member to stop in order (SIGTERM), and does not wait.
    pub fn begin_stop(&self, name: &str) {
        self.process(name).begin_stop();
    }

    /// Waits until a member that was asked to stop has ended.
    ///
    /// # Panics
    ///
    /// When it does not end well.
    pub async fn stopped(&mut self, name: &str) {
        self.take(name).stopped().await;
    }

    /// Stops a member's threads where they are (SIGSTOP).
    pub fn pause(&self, name: &str) {
        self.process(name).pause();
    }

    /// Lets a paused member go on (SIGCONT).
    pub fn resume(&self, name: &str) {
        self.process(name).resume();
    }

    /// Starts a member that does not run, with its old folder and ports, and waits until it is
    /// ready.
    pub async fn start_again(&mut self, name: &str) {
        let index = self.index(name);
        self.spawn(index);
        self.process(name).await_ready().await;
    }

    /// Starts a member that does not run, with its old folder and ports, and does not wait.
    pub fn spawn_again(&mut self, name: &str) {
        self.spawn(self.index(name));
    }

    /// Starts one more member, and does not wait.
    pub fn add_waiting(&mut self, member: Member) {
        let name = member.name.clone();
        self.members.push((member, None));
        self.spawn_again(&name);
    }

    /// Stops and starts every member, one after the other.
    pub async fn rolling_restart(&mut self) {
        let names: Vec<String> =
            self.members.iter().map(|(member, _)| member.name.clone()).collect();
        for name in names {
            self.stop(&name).await;
            self.start_again(&name).await;
        }
    }

    /// Starts one more member and waits until it is ready.
    pub async fn add(&mut self, member: Member) {
        let name = member.name.clone();
        self.members.push((member, None));
        self.start_again(&name).await;
    }

    /// Stops a member in order and forgets it.
    pub async fn remove(&mut self, name: &str) {
        self.stop(name).await;
        let index = self.index(name);
        self.members.remove(index);
    }

    /// The last lines of every member's log, for a test that failed.
    #[must_use]
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for (member, _) in &self.members {
            let path = self.folder.join(&member.name).join("log");
            let log = std::fs::read_to_string(path).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(30)..].join("\n");
            // Writing to a string does not fail.
            let _ = writeln!(text, "== {}\n{last}", member.name);
        }
        text
    }

    fn spawn(&mut self, index: usize) {
        let all: Vec<Member> = self.members.iter().map(|(member, _)| member.clone()).collect();
        let (member, process) = &mut self.members[index];
        let folder = self.folder.join(&member.name);
        let config = (self.configure)(member, &folder, &all);
        let start = Start { config, wrapper: member.wrapper.clone() };
        *process = Some(Sigyn::spawn_at(&member.address, member.http, &folder, &start));
    }

    fn running(&self) -> impl Iterator<Item = (&Member, &Sigyn)> {
        self.members.iter().filter_map(|(member, process)| Some((member, process.as_ref()?)))
    }

    fn index(&self, name: &str) -> usize {
        let found = self.members.iter().position(|(member, _)| member.name == name);
        found.unwrap_or_else(|| panic!("no member {name}"))
    }

    fn process(&self, name: &str) -> &Sigyn {
        let process = self.members[self.index(name)].1.as_ref();
        process.unwrap_or_else(|| panic!("{name} does not run"))
    }

    fn take(&mut self, name: &str) -> Sigyn {
        let index = self.index(name);
        self.members[index].1.take().unwrap_or_else(|| panic!("{name} does not run"))
    }
}
