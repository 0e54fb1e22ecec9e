//! What a lookup needs, computed once for many: the sorted tokens and the zones.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::shard::CachedShard;
use crate::instance::Instance;

/// Everything about the members that heartbeats do not change. Positions are those of the members.
pub(super) struct Topology {
    /// In ascending order, each once.
    pub(super) tokens: Vec<u32>,
    /// Who owns the token at the same position.
    pub(super) holders: Vec<u32>,
    /// In ascending order.
    pub(super) zones: Vec<Arc<str>>,
    /// For each member the position of its zone.
    pub(super) zone_of: Vec<usize>,
    /// For each zone how many of its members own a token.
    pub(super) owners_of_zone: Vec<usize>,
    /// For each zone how many of these take writes.
    pub(super) writable_of_zone: Vec<usize>,
    /// Shards that were asked for before, by identifier and size.
    pub(super) shards: Mutex<HashMap<(String, usize), CachedShard>>,
}

impl Topology {
    pub(super) fn new(members: &[Arc<Instance>]) -> Self {
        // Token, whether its claimant is going, position: sorted, the first claim wins.
        let mut claims: Vec<u64> = Vec::new();
        for (index, instance) in (0u32..).zip(members) {
            let is_going = u64::from(instance.state.is_going());
            let low = is_going << 31 | u64::from(index);
            claims.extend(instance.tokens.iter().map(|token| u64::from(*token) << 32 | low));
        }
        claims.sort_unstable();
        claims.dedup_by_key(|claim| *claim >> 32);
        let tokens = claims.iter().map(|claim| (claim >> 32) as u32).collect();
        let holders = claims.iter().map(|claim| *claim as u32 & (u32::MAX >> 1)).collect();
        Self::with_tokens(members, tokens, holders)
    }

    /// The topology of some of the members, given as ascending positions.
    pub(super) fn of_some(&self, members: &[Arc<Instance>], positions: &[usize]) -> Self {
        let mut moved = vec![None; self.zone_of.len()];
        for (new, &old) in (0u32..).zip(positions) {
            moved[old] = Some(new);
        }
        let pairs = self.tokens.iter().zip(&self.holders);
        let (tokens, holders) =
            pairs.filter_map(|(token, holder)| Some((*token, moved[*holder as usize]?))).unzip();
        Self::with_tokens(members, tokens, holders)
    }

    fn with_tokens(members: &[Arc<Instance>], tokens: Vec<u32>, holders: Vec<u32>) -> Self {
        let mut zones: Vec<Arc<str>> = members.iter().map(|m| Arc::clone(&m.zone)).collect();
        zones.sort_unstable();
        zones.dedup();
        // Every member's zone is in the list that was made of them.
        let position = |m: &Arc<Instance>| zones.binary_search(&m.zone).unwrap_or_default();
        let zone_of: Vec<usize> = members.iter().map(position).collect();
        let mut is_owner = vec![false; members.len()];
        for holder in &holders {
            is_owner[*holder as usize] = true;
        }
        let (mut owners_of_zone, mut writable_of_zone) =
            (vec![0; zones.len()], vec![0; zones.len()]);
        for (index, member) in members.iter().enumerate().filter(|(index, _)| is_owner[*index]) {
            owners_of_zone[zone_of[index]] += 1;
            writable_of_zone[zone_of[index]] += usize::from(!member.is_read_only());
        }
        let shards = Mutex::default();
        Self { tokens, holders, zones, zone_of, owners_of_zone, writable_of_zone, shards }
    }
}
