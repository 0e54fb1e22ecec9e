//! The way from distributors to ingesters: messages are late, lost on the way there or back, or cut.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use api::append::{AppendBatch, AppendOutcome};
use distributor::{PeerError, Peers};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hash_ring::Instance;
use ingester::Ingester;
use model::{ErrorKind, Fingerprint};
use parking_lot::Mutex;
use runtime::clock::{Clock as _, ManualClock};
use runtime::random::{Random as _, SeededRandom, uniform};

/// What the network does to messages of one ingester.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Link {
    /// Delivers.
    #[default]
    Up,
    /// Delivers nothing, and nobody is told.
    Cut,
    /// Loses one message of three, half of them on the way back.
    Lossy,
    /// Delivers after seconds.
    Slow,
}

/// Which ingesters said that they stored streams of the push that is under way.
pub(crate) type Acknowledged = BTreeMap<Fingerprint, BTreeSet<Arc<str>>>;

/// The network.
pub(crate) struct Network {
    pub(crate) clock: Arc<ManualClock>,
    random: SeededRandom,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Arc<Ingester>>,
    links: BTreeMap<String, Link>,
    /// By the number of the push, which its lines begin with.
    acknowledged: BTreeMap<u64, Acknowledged>,
}

/// What happens to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    Lost,
    AnswerLost,
}

impl Network {
    pub(crate) fn new(clock: &Arc<ManualClock>, seed: u64) -> Arc<Self> {
        let (clock, random) = (Arc::clone(clock), SeededRandom::new(seed));
        Arc::new(Self { clock, random, state: Mutex::default() })
    }

    /// Puts an ingester at an address, or takes it away.
    pub(crate) fn place(&self, id: &str, ingester: Option<Arc<Ingester>>) {
        let mut state = self.state.lock();
        match ingester {
            Some(ingester) => state.nodes.insert(id.to_owned(), ingester),
            None => state.nodes.remove(id),
        };
    }

    pub(crate) fn set_link(&self, id: &str, link: Link) {
        self.state.lock().links.insert(id.to_owned(), link);
    }

    pub(crate) fn link(&self, id: &str) -> Link {
        self.state.lock().links.get(id).copied().unwrap_or_default()
    }

    /// Who acknowledged streams of a push to the distributor.
    pub(crate) fn acknowledged(&self, push: u64) -> Acknowledged {
        self.state.lock().acknowledged.get(&push).cloned().unwrap_or_default()
    }

    fn fate(&self, link: Link) -> Fate {
        match (link, self.random.next_u64() % 6) {
            (Link::Cut, _) | (Link::Lossy, 0) => Fate::Lost,
            (Link::Lossy, 1) => Fate::AnswerLost,
            _ => Fate::Arrives,
        }
    }

    fn delay(&self, link: Link) -> Duration {
        let most = if link == Link::Slow { 9_000 } else { 30 };
        Duration::from_millis(uniform(&self.random, 0..most))
    }
}

/// The network as a distributor sees it.
pub(crate) struct Wires(pub(crate) Arc<Network>);

impl Peers for Wires {
    fn append(
        &self,
        instance: &Arc<Instance>,
        batch: AppendBatch,
    ) -> BoxFuture<'static, Result<AppendOutcome, PeerError>> {
        let (network, id) = (Arc::clone(&self.0), Arc::clone(&instance.id));
        async move {
            let link = network.link(&id);
            let (fate, delay) = (network.fate(link), network.delay(link));
            network.clock.sleep(delay).await;
            let node = network.state.lock().nodes.get(&*id).cloned();
            if fate == Fate::Lost {
                // Nobody says so: the sender waits until it has waited too long.
                return std::future::pending().await;
            }
            let failed = |message: String| PeerError {
                kind: ErrorKind::Unavailable,
                message,
                retry_after: None,
            };
            let node = node.ok_or_else(|| failed(format!("{id} refuses connections")))?;
            let (push, streams) = (number_of(&batch), fingerprints(&batch));
            let appended = node.append(batch).await;
            if fate == Fate::AnswerLost || network.link(&id) == Link::Cut {
                return std::future::pending().await;
            }
            let outcome = appended.map_err(|error| failed(error.to_string()))?;
            let mut state = network.state.lock();
            let acknowledged = state.acknowledged.entry(push).or_default();
            for stream in streams {
                acknowledged.entry(stream).or_default().insert(Arc::clone(&id));
            }
            Ok(outcome)
        }
        .boxed()
    }
}

fn fingerprints(batch: &AppendBatch) -> Vec<Fingerprint> {
    batch.streams().map(|part| part.fingerprint).collect()
}

/// The number of the push that a batch belongs to: its lines begin with it.
fn number_of(batch: &AppendBatch) -> u64 {
    let line = batch.streams().next().and_then(|part| {
        let row = part.rows().next()?;
        let text = str::from_utf8(row.line(part.bytes())).ok()?;
        text.split(' ').next()?.parse().ok()
    });
    line.unwrap_or(u64::MAX)
}
