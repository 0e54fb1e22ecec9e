use std::time::Duration;

use hash_ring::{RingConfig, State};

use super::*;
use crate::config::Config;

const NOW: Timestamp = Timestamp(1_700_000_000_000_000_000);

fn instance(number: u32) -> Instance {
    Instance {
        id: format!("ingester-{number}").into(),
        address: format!("127.0.0.1:{number}").into(),
        zone: format!("zone-{}", number % 3).into(),
        state: State::Active,
        tokens: (0..64).map(|place| place * (u32::MAX / 64) + number).collect::<Vec<_>>().into(),
        heartbeat: NOW,
        registered: Timestamp(0),
        read_only_since: None,
    }
}

fn ring(instances: impl IntoIterator<Item = Instance>, zone_aware: bool) -> Ring {
    let config = RingConfig { zone_aware, ..RingConfig::default() };
    Ring::new(&config, instances.into_iter().map(Arc::new))
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

#[test]
fn ranks_differ_and_nobody_waits_for_the_dead() {
    for zone_aware in [false, true] {
        for name in ["a", "b", "c", "d", "e"] {
            let tenant = tenant(name);
            let all: Vec<Instance> = (0..3).map(instance).collect();
            let rank_of =
                |ring: &Ring, number: u32| rank(ring, &format!("ingester-{number}"), &tenant, NOW);
            let whole = ring(all.clone(), zone_aware);
            let mut ranks: Vec<u32> = (0..3).map(|number| rank_of(&whole, number)).collect();
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2]);
            for dead in 0..3 {
                let mut some = all.clone();
                some[dead].heartbeat = NOW.minus(Duration::from_secs(3600));
                let some = ring(some, zone_aware);
                let living = (0..3).filter(|number| *number as usize != dead);
                let mut ranks: Vec<u32> = living.map(|number| rank_of(&some, number)).collect();
                ranks.sort_unstable();
                assert_eq!(ranks, [0, 1], "one of those who live stores at once");
                assert_eq!(rank_of(&some, dead as u32), 0);
            }
        }
    }
    assert_eq!(rank(&ring([], false), "ingester-1", &tenant("a"), NOW), 0);
}

#[test]
fn a_tenant_has_a_shard_of_its_size() {
    let overrides = Overrides::new(&Config::default());
    let text = "overrides: {small: {ingestion_tenant_shard_size: 3}, \
                tiny: {ingestion_tenant_shard_size: 1}, large: {ingestion_tenant_shard_size: 6}}";
    overrides.load(&[text]).unwrap();
    let ring = ring((0..12).map(instance), true);
    let members = |name: &str| -> Vec<Arc<str>> {
        let shard = shard(&ring, &overrides, &tenant(name));
        shard.instances().iter().map(|instance| Arc::clone(&instance.id)).collect()
    };
    assert_eq!(members("small").len(), 3);
    assert_eq!(members("tiny").len(), 3, "all replicas have a place");
    assert_eq!(members("large").len(), 6);
    assert_eq!(members("other").len(), 12);
    let owners = shard(&ring, &overrides, &tenant("small"));
    let owners = owners.owners(7, Operation::Write, NOW).unwrap();
    assert_eq!(owners.instances.len(), 3);
    // What was written before the size changed is read from everybody.
    assert_eq!(ring.everyone(Operation::Read, NOW).unwrap().instances.len(), 12);
}
