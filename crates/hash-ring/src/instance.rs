//! What a process says about itself in a ring.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

/// Where an instance is in its life, as it says itself.
///
/// That it is UNHEALTHY is never said: others conclude it from an old heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Takes part in everything.
    Active,
    /// Shuts down; what it holds can still be read.
    Leaving,
    /// Has registered, has no tokens yet, and waits for somebody to hand over.
    Pending,
    /// Takes over from somebody, or has chosen tokens and watches whether somebody else did the same.
    Joining,
    /// Has left; a record in this state counts as none.
    Left,
}

impl State {
    /// Every state; the position of each is its code in stored records.
    pub const ALL: [Self; 5] =
        [Self::Active, Self::Leaving, Self::Pending, Self::Joining, Self::Left];

    /// The name people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Leaving => "LEAVING",
            Self::Pending => "PENDING",
            Self::Joining => "JOINING",
            Self::Left => "LEFT",
        }
    }

    /// The state with exactly this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the instance gives up its tokens, so that it loses a dispute about one.
    #[must_use]
    pub fn is_going(self) -> bool {
        matches!(self, Self::Leaving | Self::Left)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the answer of an instance is needed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Rows are stored: ACTIVE instances that are not read-only. Nobody stands in for a replica
    /// that cannot take them.
    Write,
    /// Recent rows are read: all instances, because one that is PENDING may hold rows of a
    /// hand-over that broke, and one that is JOINING those of a hand-over under way. In the replicas
    /// of one key an instance that need not have rows is accompanied by the next one.
    Read,
    /// Something is told or counted: all instances.
    Report,
}

impl Operation {
    /// Whether an instance in this state can serve the operation.
    #[must_use]
    pub fn accepts(self, state: State) -> bool {
        match self {
            Self::Write => state == State::Active,
            Self::Read | Self::Report => state != State::Left,
        }
    }

    /// Whether the next instance is asked as well as one in this state.
    pub(crate) fn extends(self, state: State) -> bool {
        self == Self::Read && !matches!(state, State::Active | State::Leaving)
    }
}

/// One process in a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name, unique in the ring.
    pub id: Arc<str>,
    /// Where its gRPC service listens, as `host:port`.
    pub address: Arc<str>,
    /// The zone it fails with; empty when zones are not used.
    pub zone: Arc<str>,
    /// Where it is in its life.
    pub state: State,
    /// The places on the circle that it owns, in ascending order.
    pub tokens: Arc<[u32]>,
    /// When it was last known to be alive.
    pub heartbeat: Timestamp,
    /// When it joined, or began to take writes again after it had been read-only.
    pub registered: Timestamp,
    /// Since when it takes no writes, if it takes none.
    pub read_only_since: Option<Timestamp>,
}

impl Instance {
    /// Whether its last heartbeat is at most `timeout` old. One from the future is young.
    #[must_use]
    pub fn is_alive(&self, timeout: Duration, now: Timestamp) -> bool {
        self.heartbeat >= now.minus(timeout)
    }

    /// Whether it takes no writes.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only_since.is_some()
    }

    /// Whether it can serve `operation` now.
    #[must_use]
    pub fn is_healthy(&self, operation: Operation, timeout: Duration, now: Timestamp) -> bool {
        let may_write = operation != Operation::Write || !self.is_read_only();
        may_write && operation.accepts(self.state) && self.is_alive(timeout, now)
    }

    /// Whether only what changes all the time differs: the heartbeat.
    pub(crate) fn is_same_but_heartbeat(&self, other: &Self) -> bool {
        self.id == other.id
            && self.state == other.state
            && self.address == other.address
            && self.zone == other.zone
            && self.registered == other.registered
            && self.read_only_since == other.read_only_since
            && (Arc::ptr_eq(&self.tokens, &other.tokens) || self.tokens == other.tokens)
    }
}
