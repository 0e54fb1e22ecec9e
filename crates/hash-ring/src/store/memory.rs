//! A ring of one process, and of tests: clones share the records.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{Members, RingStore, RingStores};
use crate::Error;
use crate::instance::{Instance, State};

/// Rings in memory.
#[derive(Debug, Clone, Default)]
pub struct MemoryStores(Arc<Mutex<BTreeMap<String, Arc<MemoryStore>>>>);

impl RingStores for MemoryStores {
    fn ring(&self, name: &str) -> Arc<dyn RingStore> {
        Arc::clone(self.0.lock().entry(name.to_owned()).or_default()) as Arc<dyn RingStore>
    }
}

/// One ring in memory.
#[derive(Debug)]
pub struct MemoryStore {
    records: Mutex<BTreeMap<Arc<str>, Arc<Instance>>>,
    members: watch::Sender<Members>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        let members = Members { is_loaded: true, ..Members::default() };
        Self { records: Mutex::default(), members: watch::Sender::new(members) }
    }
}

impl MemoryStore {
    fn change(&self, change: impl FnOnce(&mut BTreeMap<Arc<str>, Arc<Instance>>)) {
        let mut records = self.records.lock();
        change(&mut records);
        // Under the lock, so that a later change is never shown before an earlier one.
        self.members.send_replace(Members::loaded(&records));
    }

    fn remove(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        self.change(|records| drop(records.remove(id)));
        Box::pin(std::future::ready(Ok(())))
    }
}

impl RingStore for MemoryStore {
    fn publish(&self, instance: &Instance) -> BoxFuture<'_, Result<(), Error>> {
        if instance.state == State::Left {
            return self.remove(&instance.id);
        }
        let record = Arc::new(instance.clone());
        self.change(|records| drop(records.insert(Arc::clone(&record.id), record)));
        Box::pin(std::future::ready(Ok(())))
    }

    fn withdraw(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        self.remove(id)
    }

    fn forget(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        self.remove(id)
    }

    fn subscribe(&self) -> watch::Receiver<Members> {
        self.members.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake;
    use super::*;

    #[tokio::test]
    async fn clones_see_each_other() {
        let stores = MemoryStores::default();
        fake::assert_works(&stores, &stores.clone()).await;
    }
}
