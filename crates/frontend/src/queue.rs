//! A fair queue: who waits longest behind others does not depend on how much the others ask.
//!
//! Every tenant has a queue of its own; takers go round the tenants. Within a tenant the same holds
//! for its actors (users, or groups of users), level by level. Each queue is first in, first out.
//! What waits is bounded per tenant, and what is cancelled is gone at once.

mod tree;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::pin_mut;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use tree::Tree;

/// How a queue is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueConfig {
    /// Most items of one tenant that wait (`max_outstanding_requests_per_tenant`).
    pub max_outstanding_per_tenant: usize,
    /// Levels of actors that are told apart; what lies deeper shares a queue.
    pub max_actor_levels: usize,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self { max_outstanding_per_tenant: 2048, max_actor_levels: 3 }
    }
}

/// The tenant has too many items waiting already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many outstanding requests")]
pub struct Full;

/// Names an item that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Items that wait for a taker.
pub struct FairQueue<T> {
    config: QueueConfig,
    state: Mutex<State<T>>,
    /// Wakes takers: which of them an item is for, they know themselves.
    arrived: Notify,
    tickets: AtomicU64,
}

struct State<T> {
    tenants: HashMap<Arc<str>, Tenant<T>>,
    /// Tenants with items, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    /// Where each item waits.
    places: HashMap<Ticket, (Arc<str>, Arc<[String]>)>,
    /// Takers by name, with how many of each are connected.
    takers: HashMap<Arc<str>, usize>,
}

struct Tenant<T> {
    tree: Tree<(Ticket, T)>,
    /// How many takers may serve the tenant; 0 for all.
    max_takers: usize,
}

impl<T> FairQueue<T> {
    /// An empty queue.
    #[must_use]
    pub fn new(config: QueueConfig) -> Self {
        let state = State {
            tenants: HashMap::new(),
            turns: VecDeque::new(),
            places: HashMap::new(),
            takers: HashMap::new(),
        };
        let (arrived, tickets) = (Notify::new(), AtomicU64::new(0));
        Self { config, state: Mutex::new(state), arrived, tickets }
    }

    /// Puts an item at the end of its actor's queue. `max_takers` bounds how many of the connected
    /// takers serve the tenant (`max_queriers_per_tenant`); 0 for all.
    ///
    /// # Errors
    ///
    /// [`Full`]: the tenant should send it again later.
    pub fn push(
        &self,
        tenant: &str,
        actor: &[String],
        max_takers: usize,
        item: T,
    ) -> Result<Ticket, Full> {
        self.insert((tenant, actor), max_takers, item, false)
    }

    /// Puts an item back at the front of its actor's queue: it was taken before, and is not lost
    /// when its tenant has too many waiting.
    pub fn put_back(&self, tenant: &str, actor: &[String], max_takers: usize, item: T) -> Ticket {
        // An item in front is never refused.
        self.insert((tenant, actor), max_takers, item, true).unwrap_or(Ticket(u64::MAX))
    }

    fn insert(
        &self,
        (tenant, actor): (&str, &[String]),
        max_takers: usize,
        item: T,
        in_front: bool,
    ) -> Result<Ticket, Full> {
        let actor: Arc<[String]> =
            actor.iter().take(self.config.max_actor_levels).cloned().collect();
        let ticket = Ticket(self.tickets.fetch_add(1, Ordering::Relaxed));
        let mut state = self.state.lock();
        let name: Arc<str> = match state.tenants.get_key_value(tenant) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::from(tenant),
        };
        let new = || Tenant { tree: Tree::default(), max_takers };
        let own = state.tenants.entry(Arc::clone(&name)).or_insert_with(new);
        if !in_front && own.tree.len() >= self.config.max_outstanding_per_tenant {
            return Err(Full);
        }
        own.max_takers = max_takers;
        let was_empty = own.tree.len() == 0;
        own.tree.push(&actor, (ticket, item), in_front);
        if was_empty {
            state.turns.push_back(Arc::clone(&name));
        }
        state.places.insert(ticket, (name, actor));
        drop(state);
        self.arrived.notify_waiters();
        Ok(ticket)
    }

    /// Takes back an item that still waits.
    pub fn cancel(&self, ticket: Ticket) -> Option<T> {
        let mut state = self.state.lock();
        let (tenant, actor) = state.places.remove(&ticket)?;
        let own = state.tenants.get_mut(&tenant)?;
        let item = own.tree.remove(&actor, |(waiting, _)| *waiting == ticket);
        if own.tree.len() == 0 {
            state.tenants.remove(&tenant);
            state.turns.retain(|turn| *turn != tenant);
        }
        item.map(|(_, item)| item)
    }

    /// The next item for a taker, if one waits.
    pub fn try_take(&self, taker: &str) -> Option<T> {
        let mut state = self.state.lock();
        let state = &mut *state;
        for turn in 0..state.turns.len() {
            let name = &state.turns[turn];
            let Some(own) = state.tenants.get_mut(name) else { continue };
            if !serves(&state.takers, taker, name, own.max_takers) {
                continue;
            }
            let Some((ticket, item)) = own.tree.pop() else { continue };
            let is_empty = own.tree.len() == 0;
            state.places.remove(&ticket);
            if let Some(name) = state.turns.remove(turn) {
                if is_empty {
                    state.tenants.remove(&name);
                } else {
                    state.turns.push_back(name);
                }
            }
            return Some(item);
        }
        None
    }

    /// The next item for a taker. Cancel safe: nothing is taken unless it is handed over.
    pub async fn take(&self, taker: &str) -> T {
        loop {
            let arrived = self.arrived.notified();
            pin_mut!(arrived);
            // Listens before it looks, so that no arrival in between is missed.
            arrived.as_mut().enable();
            if let Some(item) = self.try_take(taker) {
                return item;
            }
            arrived.await;
        }
    }

    /// Counts a taker as connected: tenants with a bound are spread over those that are.
    pub fn connect(&self, taker: &str) {
        *self.state.lock().takers.entry(Arc::from(taker)).or_insert(0) += 1;
    }

    /// Counts a taker as gone.
    pub fn disconnect(&self, taker: &str) {
        let mut state = self.state.lock();
        if let Some(count) = state.takers.get_mut(taker) {
            *count -= 1;
            if *count == 0 {
                state.takers.remove(taker);
            }
        }
        drop(state);
        // Its tenants may belong to others now.
        self.arrived.notify_waiters();
    }

    /// How many items wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.state.lock().places.len()
    }

    /// How many items of a tenant wait.
    #[must_use]
    pub fn waiting_of(&self, tenant: &str) -> usize {
        self.state.lock().tenants.get(tenant).map_or(0, |own| own.tree.len())
    }

    /// Names of connected takers.
    #[must_use]
    pub fn takers(&self) -> usize {
        self.state.lock().takers.len()
    }
}

/// Whether a taker is among the `max` connected ones that serve a tenant. Which ones those are
/// depends on the names alone, and changes little when takers come and go.
fn serves(takers: &HashMap<Arc<str>, usize>, taker: &str, tenant: &str, max: usize) -> bool {
    if max == 0 || takers.len() <= max {
        return true;
    }
    let weight = |taker: &str| {
        let mut bytes = Vec::with_capacity(taker.len() + tenant.len() + 1);
        bytes.extend_from_slice(tenant.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(taker.as_bytes());
        (xxh3_64(&bytes), taker.len())
    };
    let own = weight(taker);
    takers.keys().filter(|other| ***other != *taker && weight(other) > own).count() < max
}

#[cfg(test)]
mod tests;
