//! What all processes said, read as rings.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chitchat::{Chitchat, NodeState};
use model::Timestamp;

use super::super::record;
use super::super::trouble::Trouble;
use crate::instance::{Instance, State};

/// Keys of an instance's record, without its heartbeat.
pub(super) const RECORD: &str = "r";
/// Keys of an instance's heartbeat, in decimal digits.
pub(super) const HEARTBEAT: &str = "b";
/// Keys of notes: the heartbeat up to which an instance is forgotten.
pub(super) const FORGOTTEN: &str = "f";

/// The key of what is said about an instance of a ring.
pub(super) fn key(kind: &str, ring: &str, id: &str) -> String {
    format!("{kind}/{ring}/{id}")
}

/// One ring while it is read.
#[derive(Default)]
struct View {
    /// For each name the record that counts, with what made it count.
    records: BTreeMap<String, (Rank, Arc<Instance>)>,
    notes: BTreeMap<String, Timestamp>,
}

/// Of two records of one instance that of the living process counts, then that of the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_live: bool,
    generation: u64,
    heartbeat: Timestamp,
}

/// The instances of each of the rings `names`, in the order of their names.
pub(super) fn of_rings(
    chitchat: &Chitchat,
    names: &[String],
    trouble: &Trouble,
) -> BTreeMap<String, Vec<Arc<Instance>>> {
    let live: HashSet<_> = chitchat.live_nodes().collect();
    let mut views: BTreeMap<&str, View> =
        names.iter().map(|name| (name.as_str(), View::default())).collect();
    for (node, said) in chitchat.node_states() {
        for (key, value) in said.key_values() {
            let mut parts = key.splitn(3, '/');
            let (Some(kind), Some(ring), Some(id)) = (parts.next(), parts.next(), parts.next())
            else {
                continue;
            };
            let Some(view) = views.get_mut(ring) else { continue };
            match kind {
                RECORD => match read(said, ring, id, value) {
                    Ok(instance) => {
                        let rank = Rank {
                            is_live: live.contains(node),
                            generation: node.generation_id,
                            heartbeat: instance.heartbeat,
                        };
                        view.offer(id, rank, instance);
                    }
                    Err(error) => trouble.misread(ring, &error),
                },
                FORGOTTEN => view.note(id, value),
                _ => {}
            }
        }
    }
    views.into_iter().map(|(name, view)| (name.to_owned(), view.instances())).collect()
}

fn read(said: &NodeState, ring: &str, id: &str, value: &str) -> Result<Instance, String> {
    let bytes = BASE64.decode(value).map_err(|error| error.to_string())?;
    let mut instance = record::decode(&bytes).map_err(|error| error.to_string())?;
    let heartbeat = said.get(&key(HEARTBEAT, ring, id));
    let heartbeat = heartbeat.and_then(|digits| digits.parse().ok());
    // A record whose heartbeat has not arrived yet is as old as its registration.
    instance.heartbeat = heartbeat.map_or(instance.registered, Timestamp);
    Ok(instance)
}

impl View {
    fn offer(&mut self, id: &str, rank: Rank, instance: Instance) {
        let is_better = self.records.get(id).is_none_or(|(known, _)| *known < rank);
        if is_better {
            self.records.insert(id.to_owned(), (rank, Arc::new(instance)));
        }
    }

    fn note(&mut self, id: &str, value: &str) {
        let Ok(until) = value.parse().map(Timestamp) else { return };
        let noted = self.notes.entry(id.to_owned()).or_insert(until);
        *noted = until.max(*noted);
    }

    fn instances(self) -> Vec<Arc<Instance>> {
        let is_forgotten = |id: &str, instance: &Instance| {
            self.notes.get(id).is_some_and(|until| instance.heartbeat <= *until)
        };
        let counts = |(id, (_, instance)): &(&String, &(Rank, Arc<Instance>))| {
            instance.state != State::Left && !is_forgotten(id, instance)
        };
        self.records.iter().filter(counts).map(|(_, (_, instance))| Arc::clone(instance)).collect()
    }
}
