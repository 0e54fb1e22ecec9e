use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;
use runtime::random::{Random as _, SeededRandom};

use super::*;
use crate::instance::State;
use crate::page;
use crate::token::random_tokens;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);
const LONG_AGO: Timestamp = Timestamp(1_600_000_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);

fn instance(id: &str, zone: &str, tokens: &[u32]) -> Instance {
    Instance {
        id: id.into(),
        address: format!("{id}:9095").into(),
        zone: zone.into(),
        state: State::Active,
        tokens: tokens.into(),
        heartbeat: NOW,
        registered: LONG_AGO,
        read_only_since: None,
    }
}

/// `count` active instances in turn in `zones` zones, with random tokens.
fn members(count: usize, zones: usize, seed: u64) -> Vec<Instance> {
    let random = SeededRandom::new(seed);
    let mut taken = HashSet::new();
    let member = |number: usize| {
        let tokens = random_tokens(64, &taken, &random);
        taken.extend(tokens.iter().copied());
        instance(&format!("ingester-{number}"), &format!("zone-{}", number % zones), &tokens)
    };
    (0..count).map(member).collect()
}

fn config(replication_factor: usize, zone_aware: bool) -> RingConfig {
    RingConfig { replication_factor, zone_aware, ..RingConfig::default() }
}

fn ring(config: &RingConfig, members: &[Instance]) -> Ring {
    Ring::new(config, members.iter().cloned().map(Arc::new))
}

fn ids(instances: &[Arc<Instance>]) -> Vec<&str> {
    instances.iter().map(|instance| &*instance.id).collect()
}

fn keys(seed: u64, count: usize) -> Vec<u32> {
    let random = SeededRandom::new(seed);
    (0..count).map(|_| random.next_u64() as u32).collect()
}

#[test]
fn the_owner_is_the_first_token_after_the_key() {
    let members =
        [instance("a", "", &[0, 100]), instance("b", "", &[25]), instance("c", "", &[50])];
    let ring = ring(&config(1, false), &members);
    for (key, owner) in
        [(0, "b"), (3, "b"), (24, "b"), (25, "c"), (50, "a"), (99, "a"), (u32::MAX, "a")]
    {
        let set = ring.owners(key, Operation::Write, NOW).unwrap();
        assert_eq!(ids(&set.instances), [owner], "{key}");
    }
}

#[test]
fn an_unhealthy_replica_is_missed_and_nobody_stands_in_for_a_write() {
    let mut members: Vec<Instance> =
        [("a", 10), ("b", 20), ("c", 30), ("d", 40)].map(|(id, t)| instance(id, "", &[t])).into();
    let all = ring(&config(3, false), &members).owners(0, Operation::Write, NOW).unwrap();
    assert_eq!((ids(&all.instances), all.max_errors), (vec!["a", "b", "c"], 1));
    members[1].state = State::Leaving;
    let two = ring(&config(3, false), &members).owners(0, Operation::Write, NOW).unwrap();
    assert_eq!((ids(&two.instances), two.max_errors), (vec!["a", "c"], 0));
    members[2].heartbeat = NOW.minus(Duration::from_secs(61));
    let error = ring(&config(3, false), &members).owners(0, Operation::Write, NOW).unwrap_err();
    assert!(matches!(error, Error::TooFewHealthy { needed: 2, healthy: 1 }), "{error}");
    members[2].heartbeat = NOW.plus(HOUR);
    assert!(ring(&config(3, false), &members).owners(0, Operation::Write, NOW).is_ok());
}

#[test]
fn a_read_only_instance_is_passed_over_by_writes_alone() {
    let mut members: Vec<Instance> =
        [("a", 10), ("b", 20), ("c", 30), ("d", 40)].map(|(id, t)| instance(id, "", &[t])).into();
    members[0].read_only_since = Some(LONG_AGO);
    let ring = ring(&config(3, false), &members);
    let write = ring.owners(0, Operation::Write, NOW).unwrap();
    assert_eq!((ids(&write.instances), write.max_errors), (vec!["b", "c", "d"], 1));
    let read = ring.owners(0, Operation::Read, NOW).unwrap();
    assert_eq!(ids(&read.instances), ["a", "b", "c"]);
    assert_eq!((ring.healthy(Operation::Write, NOW), ring.healthy(Operation::Read, NOW)), (3, 4));
}

#[test]
fn a_read_extends_beyond_instances_that_have_no_rows_yet() {
    let mut members: Vec<Instance> =
        [("a", 10), ("b", 20), ("c", 30), ("d", 40)].map(|(id, t)| instance(id, "", &[t])).into();
    members[0].state = State::Pending;
    let ring = ring(&config(3, false), &members);
    let set = ring.owners(0, Operation::Read, NOW).unwrap();
    // Four replicas: a quorum is three.
    assert_eq!((ids(&set.instances), set.max_errors), (vec!["a", "b", "c", "d"], 1));
}

#[test]
fn a_disputed_token_goes_to_who_stays_and_then_to_the_smaller_name() {
    let mut members =
        [instance("a", "", &[10]), instance("b", "", &[10]), instance("c", "", &[99])];
    let owner = |members: &[Instance]| {
        let ring = ring(&config(1, false), members);
        ring.owners(0, Operation::Report, NOW).unwrap().instances[0].id.to_string()
    };
    assert_eq!(owner(&members), "a");
    members[0].state = State::Leaving;
    assert_eq!(owner(&members), "b");
    members[0].state = State::Left;
    assert_eq!(owner(&members), "b");
    members[1].state = State::Leaving;
    members[0].state = State::Leaving;
    assert_eq!(owner(&members), "a");
}

#[test]
fn an_empty_ring_says_so() {
    let ring = ring(&config(3, false), &[]);
    assert!(matches!(ring.owners(7, Operation::Write, NOW), Err(Error::Empty)));
    assert!(matches!(ring.everyone(Operation::Read, NOW), Err(Error::Empty)));
    assert!(page::rows(&ring, NOW).is_empty());
}

#[test]
fn everyone_tolerates_what_a_quorum_covers() {
    // Instances, unhealthy ones, replication factor: how many may fail beyond these.
    for (count, unhealthy, factor, expected) in [
        (3, 0, 3, Some(1)),
        (3, 1, 3, Some(0)),
        (3, 2, 3, None),
        (10, 0, 3, Some(1)),
        (2, 0, 3, Some(0)),
        (1, 0, 3, None),
        (5, 1, 1, None),
        (5, 0, 1, Some(0)),
        (6, 0, 5, Some(2)),
    ] {
        let mut members = members(count, 1, 1);
        members.iter_mut().take(unhealthy).for_each(|member| member.heartbeat = LONG_AGO);
        let set = ring(&config(factor, false), &members).everyone(Operation::Read, NOW);
        let errors = set.ok().map(|set| set.max_errors);
        assert_eq!(errors, expected, "{count} {unhealthy} {factor}");
    }
}

#[test]
fn an_unhealthy_instance_discounts_its_zone() {
    let mut members = members(9, 3, 1);
    let set = ring(&config(3, true), &members).everyone(Operation::Read, NOW).unwrap();
    assert_eq!((set.instances.len(), set.max_errors, set.max_unavailable_zones), (9, 0, 1));
    members[4].heartbeat = LONG_AGO;
    let set = ring(&config(3, true), &members).everyone(Operation::Read, NOW).unwrap();
    assert!(set.instances.iter().all(|instance| &*instance.zone != "zone-1"));
    assert_eq!((set.zones(), set.max_unavailable_zones), (2, 0));
    members[5].heartbeat = LONG_AGO;
    let error = ring(&config(3, true), &members).everyone(Operation::Read, NOW).unwrap_err();
    assert!(matches!(error, Error::TooManyUnhealthyZones { unhealthy: 2, tolerated: 1 }));
}

#[test]
fn heartbeats_keep_what_was_computed() {
    let mut members = members(4, 2, 1);
    let first = ring(&config(3, true), &members);
    members.iter_mut().for_each(|member| member.heartbeat = NOW.plus(HOUR));
    let second = first.refreshed(members.iter().rev().cloned().map(Arc::new));
    assert!(second.has_topology_of(&first));
    assert_eq!(second.instances()[0].heartbeat, NOW.plus(HOUR));
    members[2].state = State::Leaving;
    assert!(!first.refreshed(members.iter().cloned().map(Arc::new)).has_topology_of(&first));
}

#[test]
fn the_page_shows_shares_that_add_up() {
    let mut members = members(6, 3, 5);
    members[1].heartbeat = LONG_AGO;
    for (zone_aware, total) in [(false, 100.0), (true, 300.0)] {
        let rows = page::rows(&ring(&config(3, zone_aware), &members), NOW);
        let sum: f64 = rows.iter().map(|row| row.ownership_percent).sum();
        assert!((sum - total).abs() < 1e-6, "{sum}");
        assert_eq!((rows[1].state, rows[1].tokens), (page::UNHEALTHY, 64));
        assert_eq!((rows[0].state, rows[0].heartbeat_age), ("ACTIVE", Duration::ZERO));
    }
    let alone = page::rows(&ring(&config(1, false), &[instance("a", "", &[7])]), NOW);
    assert!((alone[0].ownership_percent - 100.0).abs() < 1e-9);
}

#[test]
fn a_lookback_holds_everybody_who_was_in_the_shard() {
    let config = config(3, false);
    let before = members(12, 1, 3);
    let mut after = before.clone();
    let mut newcomers = members(16, 1, 3).split_off(12);
    newcomers.iter_mut().for_each(|newcomer| newcomer.registered = NOW.minus(HOUR / 2));
    after.extend(newcomers);
    after[2].read_only_since = Some(NOW.minus(HOUR / 3));
    for tenant in 0..200 {
        let tenant = tenant.to_string();
        let written = ring(&config, &before).shuffle_shard(&tenant, 4, None);
        let read = ring(&config, &after).shuffle_shard(&tenant, 4, Some((HOUR, NOW)));
        let written_now = ring(&config, &after).shuffle_shard(&tenant, 4, None);
        for instance in written.instances().iter().chain(written_now.instances()) {
            assert!(read.instance(&instance.id).is_some(), "{tenant}: {}", instance.id);
        }
        assert!(written_now.instance("ingester-2").is_none());
        let later = Some((HOUR / 10, NOW));
        let read = ring(&config, &after).shuffle_shard(&tenant, 4, later);
        assert_eq!(ids(read.instances()), ids(written_now.instances()), "{tenant}");
    }
}

#[test]
fn a_whole_shard_leaves_out_read_only_instances() {
    let mut members = members(5, 1, 3);
    members[3].read_only_since = Some(LONG_AGO);
    let ring = ring(&config(3, false), &members);
    assert_eq!(ring.shuffle_shard("t", 0, None).instances().len(), 4);
    assert_eq!(ring.shuffle_shard("t", 99, None).instances().len(), 4);
    members[3].read_only_since = None;
    let whole = ring.refreshed(members.into_iter().map(Arc::new));
    assert!(whole.shuffle_shard("t", 0, None).has_topology_of(&whole));
}

#[test]
fn a_hundred_instances_share_evenly() {
    let members = members(100, 1, 9);
    let ring = ring(&config(3, false), &members);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for key in keys(4, 20_000) {
        for instance in ring.owners(key, Operation::Write, NOW).unwrap().instances {
            *counts.entry(instance.id.to_string()).or_default() += 1;
        }
    }
    // 600 each on average.
    assert!(counts.values().all(|count| (250..1200).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn replicas_and_their_zones_are_distinct(
        count in 1usize..30, zones in 1usize..5, factor in 1usize..6, seed: u64, zone_aware: bool,
    ) {
        let members = members(count, zones, seed);
        let ring = ring(&config(factor, zone_aware), &members);
        for key in keys(seed, 20) {
            let chosen = ring.walk(key, Operation::Write);
            let distinct: BTreeSet<usize> = chosen.iter().copied().collect();
            prop_assert_eq!(distinct.len(), chosen.len());
            let zones_used = zones.min(count);
            let cap = if zone_aware { (factor / zones_used).max(1) } else { factor };
            let mut of_zone: BTreeMap<&str, usize> = BTreeMap::new();
            for &index in &chosen {
                *of_zone.entry(&ring.instances()[index].zone).or_default() += 1;
            }
            prop_assert!(of_zone.values().all(|found| *found <= cap));
            if !zone_aware {
                prop_assert_eq!(chosen.len(), factor.min(count));
            }
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter(count in 1usize..20, seed: u64, rotation in 0usize..20) {
        let mut members = members(count, 3, seed);
        let config = config(3, true);
        let first = ring(&config, &members);
        members.rotate_left(rotation % count);
        members.reverse();
        let second = ring(&config, &members);
        for key in keys(seed, 20) {
            prop_assert_eq!(first.walk(key, Operation::Write), second.walk(key, Operation::Write));
        }
        let (a, b) = (first.shuffle_shard("t", 4, None), second.shuffle_shard("t", 4, None));
        prop_assert_eq!(ids(a.instances()), ids(b.instances()));
    }

    #[test]
    fn a_newcomer_moves_few_keys_and_only_to_itself(count in 4usize..20, seed: u64) {
        let all = members(count + 1, 1, seed);
        let config = config(1, false);
        let (before, after) = (ring(&config, &all[..count]), ring(&config, &all));
        let mut moved = 0;
        for key in keys(seed, 2000) {
            let old = before.owners(key, Operation::Write, NOW).unwrap().instances.remove(0);
            let new = after.owners(key, Operation::Write, NOW).unwrap().instances.remove(0);
            if old.id != new.id {
                prop_assert_eq!(&*new.id, &*all[count].id);
                moved += 1;
            }
        }
        // 1/(n+1) on average; random tokens stay below twice that.
        prop_assert!(moved <= 2 * 2000 / (count + 1), "{} of 2000 moved", moved);
    }

    #[test]
    fn a_shard_changes_by_one_instance_at_most(
        count in 3usize..25, size in 1usize..10, seed: u64, zone_aware: bool,
    ) {
        let all = members(count + 1, 3, seed);
        let config = config(3, zone_aware);
        let (before, after) = (ring(&config, &all[..count]), ring(&config, &all));
        for tenant in 0..20 {
            let tenant = tenant.to_string();
            let old = before.shuffle_shard(&tenant, size, None);
            let new = after.shuffle_shard(&tenant, size, None);
            let (old, new): (BTreeSet<_>, BTreeSet<_>) =
                (ids(old.instances()).into_iter().collect(), ids(new.instances()).into_iter().collect());
            // Read as joining from left to right and as leaving from right to left.
            prop_assert!(old.difference(&new).count() <= 1 && new.difference(&old).count() <= 1);
            let larger = before.shuffle_shard(&tenant, size + 1, None);
            prop_assert!(old.iter().all(|id| larger.instance(id).is_some()));
        }
    }

    #[test]
    fn what_a_write_needs_and_what_a_read_may_miss_overlap(
        count in 1usize..16, zones in 1usize..5, factor in 1usize..6, seed: u64, zone_aware: bool,
    ) {
        let members = members(count, zones, seed);
        let ring = ring(&config(factor, zone_aware), &members);
        let Ok(everyone) = ring.everyone(Operation::Read, NOW) else { return Ok(()) };
        for key in keys(seed, 20) {
            let Ok(set) = ring.owners(key, Operation::Write, NOW) else { continue };
            let acknowledged = set.instances.len() - set.max_errors;
            if everyone.max_unavailable_zones == 0 {
                prop_assert!(everyone.max_errors < acknowledged);
                continue;
            }
            // The worst acknowledged write lies in the fullest zones.
            let mut of_zone: BTreeMap<&str, usize> = BTreeMap::new();
            for instance in &set.instances {
                *of_zone.entry(&instance.zone).or_default() += 1;
            }
            let mut sizes: Vec<usize> = of_zone.into_values().collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            let missed: usize = sizes.iter().take(everyone.max_unavailable_zones).sum();
            prop_assert!(missed < acknowledged, "{} of {}", missed, acknowledged);
        }
    }
}
