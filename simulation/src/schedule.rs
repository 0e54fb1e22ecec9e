//! One run: everything in it follows from a seed.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use api::push::{Push, PushEntry, PushLabels, PushStream};
use distributor::{PushContext, PushRefused};
use hash_ring::{Operation, token_of};
use model::{Fingerprint, Labels, Timestamp};
use runtime::clock::Clock as _;
use runtime::random::{Random as _, SeededRandom, uniform};
use runtime::task::{self, JoinHandle};
use store::MemoryFault;

use crate::cluster::{Cluster, settle};
use crate::network::Link;
use crate::read::{Doubled, Entry, Querier, in_store, tenant};

/// Steps of a schedule.
const STEPS: u64 = 24;
/// Time that heals everything: longer than a heartbeat may be old, and than any timeout.
const HEALING: Duration = Duration::from_secs(5);

/// A promise was broken.
#[derive(Debug)]
pub enum Broken {
    /// An acknowledged entry is not seen.
    Lost(String),
    /// An entry is seen that was never sent.
    Invented(String),
    /// One head or one segment holds an entry twice.
    Doubled(String),
    /// A push was refused though a quorum had taken it.
    Refused(String),
    /// A query, a push or a flush could not be done although nothing was wrong any more.
    Stuck(&'static str),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(entry) => write!(f, "acknowledged and lost: {entry}"),
            Self::Invented(entry) => write!(f, "seen and never sent: {entry}"),
            Self::Doubled(entry) => write!(f, "held twice in one place: {entry}"),
            Self::Refused(why) => write!(f, "refused though a quorum took it: {why}"),
            Self::Stuck(what) => write!(f, "stuck when nothing was wrong: {what}"),
        }
    }
}

/// What happened in a run, to see that runs are worth their time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Pushes that were acknowledged.
    pub acknowledged: u64,
    /// Pushes that were refused.
    pub refused: u64,
    /// Queries that were answered.
    pub answered: u64,
    /// Queries that could not be sure to see everything, and said so.
    pub unanswered: u64,
    /// Times that a process died.
    pub crashes: u64,
}

impl Told {
    /// Adds another run.
    pub fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        self.crashes += other.crashes;
    }
}

/// A push under way.
struct Pushing {
    number: u64,
    entries: Vec<Entry>,
    /// Fingerprints of its streams, and their owners when it was sent.
    streams: Vec<(Fingerprint, Option<usize>)>,
    answer: JoinHandle<Result<(), PushRefused>>,
}

struct Run {
    cluster: Cluster,
    querier: Querier,
    random: SeededRandom,
    pushing: Vec<Pushing>,
    sent: BTreeSet<Entry>,
    kept: BTreeSet<Entry>,
    next_push: u64,
    told: Told,
}

/// Runs the schedule of a seed.
///
/// # Errors
///
/// [`Broken`]: a fault of the program, which the seed shows again.
pub fn run(seed: u64) -> Result<Told, Broken> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|_| Broken::Stuck("start a runtime"))?;
    runtime.block_on(async {
        let random = SeededRandom::new(seed);
        let nodes = 3 + usize::from(random.next_u64().is_multiple_of(3));
        let cluster = Cluster::new(nodes, seed).await;
        let store = cluster.open_store().await.ok_or(Broken::Stuck("open a store"))?;
        let querier = Querier::new(store);
        let mut run = Run {
            cluster,
            querier,
            random,
            pushing: Vec::new(),
            sent: BTreeSet::new(),
            kept: BTreeSet::new(),
            next_push: 0,
            told: Told::default(),
        };
        for _ in 0..STEPS {
            run.step().await?;
        }
        run.heal().await?;
        Ok(run.told)
    })
}

impl Run {
    fn below(&self, bound: u64) -> u64 {
        uniform(&self.random, 0..bound)
    }

    fn node(&self) -> usize {
        self.below(self.cluster.nodes.len() as u64) as usize
    }

    async fn step(&mut self) -> Result<(), Broken> {
        let node = self.node();
        let id = self.cluster.nodes[node].id.clone();
        match self.below(100) {
            0..40 => self.push(),
            40..62 => {
                let millis = [40, 400, 3_000, 20_000, 70_000][self.below(5) as usize];
                self.pass(Duration::from_millis(millis)).await?;
            }
            62..70 => self.read().await?,
            70..76 => {
                if self.cluster.nodes[node].ingester.is_some() {
                    let kept = self.below(400) as usize;
                    self.cluster.crash(node, kept);
                    self.told.crashes += 1;
                }
            }
            76..82 => self.cluster.start(node).await,
            82..88 => {
                let link = [Link::Up, Link::Cut, Link::Lossy, Link::Slow][self.below(4) as usize];
                self.cluster.network.set_link(&id, link);
            }
            88..93 => self.flush(node),
            93..95 => {
                let faults = [MemoryFault::None, MemoryFault::Down, MemoryFault::LosesAnswers];
                self.cluster.bucket.set_fault(faults[self.below(3) as usize]);
            }
            95..97 => {
                let minutes = self.below(41) as i64 - 20;
                let offset = minutes * 60_000_000_000;
                match self.below(3) {
                    0 => self.cluster.distributor_clock.step(offset),
                    _ => self.cluster.nodes[node].clock.step(offset),
                }
            }
            97..99 => self.cluster.nodes[node].disk.fail_syncs(1),
            _ => {
                if let Some(ingester) = &self.cluster.nodes[node].ingester {
                    ingester.set_read_only(!ingester.is_read_only());
                }
            }
        }
        Ok(())
    }

    /// Sends entries of a few streams.
    fn push(&mut self) {
        let number = self.next_push;
        self.next_push += 1;
        let mut entries = Vec::new();
        let mut streams = Vec::new();
        let now = self.cluster.clock.now().0;
        let ring = self.cluster.ring.0.lock().clone();
        for stream in 0..1 + self.below(3) {
            let labels = Labels::new([("service_name", format!("s{}", (stream + number) % 5))]);
            let token = token_of(&tenant(), labels.fingerprint());
            let owners = ring.owners(token, Operation::Write, self.cluster.clock.now());
            let needed = owners.ok().map(|set| set.instances.len() - set.max_errors);
            streams.push((labels.fingerprint(), needed));
            for row in 0..1 + self.below(3) {
                // Late, early, and of one time.
                let at = now - self.below(3) as i64 * 700_000_000_000 + self.below(2) as i64;
                let line =
                    format!("{number} {stream} {row} {}", "x".repeat(self.below(120) as usize));
                entries.push((labels.canonical().to_owned(), at, line));
            }
        }
        self.sent.extend(entries.iter().cloned());
        let (distributor, pushed) =
            (std::sync::Arc::clone(&self.cluster.distributor), entries.clone());
        let answer = task::spawn("push", async move {
            let one = |(labels, at, line): &(String, i64, String)| PushStream {
                labels: PushLabels::Pairs(Labels::parse(labels).unwrap_or_default()),
                entries: vec![PushEntry {
                    timestamp: Timestamp(*at),
                    line: Cow::Owned(line.clone().into_bytes()),
                    metadata: Vec::new(),
                    shared: None,
                }],
            };
            let push = Push { streams: pushed.iter().map(one).collect() };
            distributor.push(&tenant(), push, PushContext::default()).await
        });
        self.pushing.push(Pushing { number, entries, streams, answer });
    }

    /// Lets time pass, in ticks, and hears the answers of pushes.
    async fn pass(&mut self, time: Duration) -> Result<(), Broken> {
        let ticks = if time > Duration::from_secs(10) { 6 } else { 2 };
        for _ in 0..ticks {
            self.cluster.pass(time / ticks).await;
            self.hear().await?;
        }
        Ok(())
    }

    async fn hear(&mut self) -> Result<(), Broken> {
        let (done, open) = std::mem::take(&mut self.pushing)
            .into_iter()
            .partition::<Vec<_>, _>(|pushing| pushing.answer.is_finished());
        self.pushing = open;
        for pushing in done {
            match pushing.answer.await {
                Ok(Ok(())) => {
                    self.told.acknowledged += 1;
                    self.kept.extend(pushing.entries);
                }
                Ok(Err(refused)) => {
                    self.told.refused += 1;
                    self.check_refused(pushing.number, &pushing.streams, &refused)?;
                }
                Err(_) => return Err(Broken::Stuck("push")),
            }
        }
        Ok(())
    }

    /// A push may fail only when some stream of it was not taken by a quorum. Refusals below 500
    /// are of single entries, and those are told.
    fn check_refused(
        &self,
        number: u64,
        streams: &[(Fingerprint, Option<usize>)],
        refused: &PushRefused,
    ) -> Result<(), Broken> {
        let acknowledged = self.cluster.network.acknowledged(number);
        let took = |(stream, needed): &(Fingerprint, Option<usize>)| {
            let by = acknowledged.get(stream).map_or(0, BTreeSet::len);
            needed.is_some_and(|needed| by >= needed)
        };
        if refused.status >= 500 && streams.iter().all(took) {
            return Err(Broken::Refused(format!("push {number}: {refused}")));
        }
        Ok(())
    }

    /// Somebody asks an ingester to flush. Nobody waits for it.
    fn flush(&self, node: usize) {
        if let Some(ingester) = self.cluster.nodes[node].ingester.clone() {
            task::spawn("flush-asked", async move {
                // What fails is tried again.
                let _ = ingester.flush(None).await;
            });
        }
    }

    /// A query, to which one ingester may not answer.
    async fn read(&mut self) -> Result<(), Broken> {
        settle().await;
        self.hear().await?;
        let silent = (self.below(2) == 0).then(|| self.node());
        match self.querier.read(&self.cluster, |node| silent == Some(node)).await {
            Some(found) => {
                self.told.answered += 1;
                self.check(found)
            }
            None => {
                self.told.unanswered += 1;
                Ok(())
            }
        }
    }

    fn check(&self, found: Result<BTreeSet<Entry>, Doubled>) -> Result<(), Broken> {
        let found = found.map_err(|Doubled(entry)| Broken::Doubled(format!("{entry:?}")))?;
        if let Some(lost) = self.kept.iter().find(|entry| !found.contains(*entry)) {
            return Err(Broken::Lost(format!("{lost:?}")));
        }
        match found.iter().find(|entry| !self.sent.contains(*entry)) {
            Some(invented) => Err(Broken::Invented(format!("{invented:?}"))),
            None => Ok(()),
        }
    }

    /// Everything works again: what was acknowledged is there, pushes work, and everything can be
    /// stored.
    async fn heal(&mut self) -> Result<(), Broken> {
        self.cluster.bucket.set_fault(MemoryFault::None);
        self.cluster.distributor_clock.step(0);
        for index in 0..self.cluster.nodes.len() {
            let node = &self.cluster.nodes[index];
            node.clock.step(0);
            node.disk.fail_syncs(0);
            self.cluster.network.set_link(&node.id, Link::Up);
            self.cluster.start(index).await;
            match &self.cluster.nodes[index].ingester {
                Some(ingester) => ingester.set_read_only(false),
                None => return Err(Broken::Stuck("start")),
            }
        }
        self.cluster.heartbeat();
        for _ in 0..4 {
            self.pass(HEALING).await?;
        }
        if !self.pushing.is_empty() {
            return Err(Broken::Stuck("push is not answered"));
        }
        let acknowledged = self.told.acknowledged;
        self.push();
        self.pass(HEALING).await?;
        if self.told.acknowledged == acknowledged {
            return Err(Broken::Stuck("push"));
        }
        let found = self.querier.read(&self.cluster, |_| false).await;
        self.check(found.ok_or(Broken::Stuck("query"))?)?;
        for node in &self.cluster.nodes {
            let Some(ingester) = &node.ingester else { continue };
            ingester.flush(None).await.map_err(|_| Broken::Stuck("flush"))?;
        }
        let store = self.cluster.open_store().await.ok_or(Broken::Stuck("open a store"))?;
        self.check(in_store(&store).ok_or(Broken::Stuck("read segments"))?)
    }
}
