//! How many tails a tenant has open.

use std::collections::HashMap;
use std::sync::Arc;

use model::TenantId;
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The open tails of all tenants.
#[derive(Debug, Clone, Default)]
pub struct Tails(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    open: Mutex<HashMap<TenantId, usize>>,
    active: Gauge,
}

impl Tails {
    /// No tails; `registry` shows how many there are.
    pub fn register(registry: &mut Registry) -> Self {
        let tails = Self::default();
        let active = tails.0.active.clone();
        registry.register("loki_querier_tail_active", "Live tails", active);
        tails
    }

    /// Counts one more, unless the tenant has `max` already; 0 allows any number.
    ///
    /// # Errors
    ///
    /// The text for the client.
    pub(super) fn open(&self, tenant: &TenantId, max: usize) -> Result<Slot, String> {
        let mut open = self.0.open.lock();
        let count = open.entry(tenant.clone()).or_insert(0);
        if max > 0 && *count >= max {
            return Err(format!(
                "max concurrent tail requests limit exceeded, count > limit ({} > {max})",
                *count + 1
            ));
        }
        *count += 1;
        self.0.active.inc();
        Ok(Slot { tails: self.clone(), tenant: tenant.clone() })
    }
}

/// One open tail; dropping it closes it.
#[derive(Debug)]
pub(super) struct Slot {
    tails: Tails,
    tenant: TenantId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.tails.0.open.lock();
        if let Some(count) = open.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.tenant);
            }
        }
        self.tails.0.active.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_so_many_tails() {
        let tails = Tails::default();
        let (a, b) = (TenantId::new("a").unwrap(), TenantId::new("b").unwrap());
        let first = tails.open(&a, 2).unwrap();
        let _second = tails.open(&a, 2).unwrap();
        let _other = tails.open(&b, 2).unwrap();
        let text = "max concurrent tail requests limit exceeded, count > limit (3 > 2)";
        assert_eq!(tails.open(&a, 2).unwrap_err(), text);
        assert_eq!(tails.0.active.get(), 3);
        drop(first);
        assert!(tails.open(&a, 2).is_ok());
    }
}
