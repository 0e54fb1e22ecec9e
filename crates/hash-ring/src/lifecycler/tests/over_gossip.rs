//! Whole lives over UDP on the loopback interface, by the machine's clock.

use std::net::SocketAddr;

use tokio::runtime::Runtime;

use super::*;
use crate::store::{GossipConfig, GossipStores};

/// A process: its own runtime, which can be ended like a killed process.
struct Process {
    runtime: Runtime,
    stores: Arc<GossipStores>,
    lifecycler: Arc<Lifecycler>,
    service: Service,
}

impl Process {
    fn start(id: &str, join: &[SocketAddr]) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.unwrap();
        let gossip = GossipConfig {
            node: id.to_owned(),
            bind: "127.0.0.1:0".parse().unwrap(),
            join: join.iter().map(SocketAddr::to_string).collect(),
            interval: Duration::from_millis(20),
            ..GossipConfig::default()
        };
        let config = LifecyclerConfig { heartbeat_period: Duration::from_millis(50), ..config(id) };
        let (stores, lifecycler, service) = runtime.block_on(async {
            let stores = GossipStores::open(gossip, fake::environment()).await.unwrap();
            let ring_config = RingConfig {
                replication_factor: 2,
                heartbeat_timeout: SECOND * 4,
                zone_aware: false,
            };
            let store = stores.ring("ingester");
            let client = RingClient::start("ingester", &ring_config, store, fake::environment());
            let lifecycler = Lifecycler::new(config, client).unwrap();
            let service = started(&lifecycler).await;
            (Arc::new(stores), lifecycler, service)
        });
        Self { runtime, stores, lifecycler, service }
    }

    /// Waits until this process sees exactly these instances in these states.
    fn sees(&self, expected: &[(&str, &str)]) {
        let is_so = || {
            let rows = self.lifecycler.client().rows();
            rows.iter().map(|row| (&*row.instance.id, row.state)).eq(expected.iter().copied())
        };
        self.runtime.block_on(until(&[], is_so));
    }

    fn kill(self) {
        self.runtime.shutdown_background();
    }
}

#[test]
fn processes_join_die_are_forgotten_and_leave() {
    let a = Process::start("a", &[]);
    let b = Process::start("b", &[a.stores.address()]);
    let c = Process::start("c", &[a.stores.address()]);
    let all = [("a", "ACTIVE"), ("b", "ACTIVE"), ("c", "ACTIVE")];
    for process in [&a, &b, &c] {
        process.sees(&all);
    }
    // Everybody chooses the same owners.
    let owners = |process: &Process| {
        let now = SystemClock.now();
        let set = process.lifecycler.ring().owners(12_345, Operation::Write, now).ok()?;
        Some(set.instances.iter().map(|instance| instance.id.to_string()).collect::<Vec<_>>())
    };
    let agree = || {
        let (a, b, c) = (owners(&a), owners(&b), owners(&c));
        a.is_some() && a == b && b == c
    };
    a.runtime.block_on(until(&[], agree));

    c.kill();
    for process in [&a, &b] {
        process.sees(&[("a", "ACTIVE"), ("b", "ACTIVE"), ("c", UNHEALTHY)]);
    }
    b.runtime.block_on(b.lifecycler.client().forget("c")).unwrap();
    for process in [&a, &b] {
        process.sees(&[("a", "ACTIVE"), ("b", "ACTIVE")]);
    }

    // The killed one starts again, under another address, and is an instance like before.
    let c = Process::start("c", &[b.stores.address()]);
    for process in [&a, &b, &c] {
        process.sees(&all);
    }
    b.runtime.block_on(b.service.stop_and_await_terminated()).unwrap();
    b.runtime.block_on(crate::store::RingStores::close(&*b.stores));
    b.kill();
    for process in [&a, &c] {
        process.sees(&[("a", "ACTIVE"), ("c", "ACTIVE")]);
    }
    a.kill();
    c.kill();
}
