//! What each role enforces, taken from a tenant's one block of limits.
//!
//! The roles define the few limits they need; this is where they get them, translated once per
//! change of the limits and shared afterwards.

use std::collections::HashMap;
use std::sync::Arc;

use model::TenantId;
use parking_lot::RwLock;
use runtime::limits::LimitsFor;

use crate::config::limits::TenantLimits;
use crate::config::overrides::Overrides;

mod compactor;
mod distributor;
mod frontend;
mod ingester;
mod otlp;
mod querier;

pub use compactor::{compactor, retention};
pub use distributor::distributor;
pub use frontend::frontend;
pub use ingester::ingester;
pub use otlp::otlp;
pub use querier::querier;

/// How many translations are kept: more than there are tenants with limits of their own, as a
/// rule. Beyond it all are forgotten and made again.
const KEPT_MAX: usize = 4096;

/// The limits of one role, for every tenant.
pub struct RoleLimits<L> {
    overrides: Arc<Overrides>,
    translate: Box<dyn Fn(&TenantLimits) -> L + Send + Sync>,
    /// By the address of what was translated, which is kept so that no other gets the address.
    kept: RwLock<HashMap<usize, Translation<L>>>,
}

/// What was translated, and what came out.
type Translation<L> = (Arc<TenantLimits>, Arc<L>);

impl<L> RoleLimits<L> {
    /// Limits translated by a function.
    #[must_use]
    pub fn new(
        overrides: Arc<Overrides>,
        translate: impl Fn(&TenantLimits) -> L + Send + Sync + 'static,
    ) -> Self {
        Self { overrides, translate: Box::new(translate), kept: RwLock::default() }
    }
}

impl<L: Send + Sync> LimitsFor<L> for RoleLimits<L> {
    fn limits_for(&self, tenant: &TenantId) -> Arc<L> {
        let limits = self.overrides.limits_for(tenant);
        let address = Arc::as_ptr(&limits).addr();
        if let Some((_, translated)) = self.kept.read().get(&address) {
            return Arc::clone(translated);
        }
        let translated = Arc::new((self.translate)(&limits));
        let mut kept = self.kept.write();
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(address, (limits, Arc::clone(&translated)));
        translated
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn translations_are_shared_until_the_limits_change() {
        let overrides = Arc::new(Overrides::new(&Config::default()));
        let limits = RoleLimits::new(Arc::clone(&overrides), |limits| limits.max_query_series);
        let tenant = TenantId::anonymous();
        let first = limits.limits_for(&tenant);
        assert!(Arc::ptr_eq(&first, &limits.limits_for(&TenantId::new("other").unwrap())));
        overrides.load(&["overrides: {fake: {max_query_series: 7}}"]).unwrap();
        assert_eq!(*limits.limits_for(&tenant), 7);
        assert_eq!(*limits.limits_for(&TenantId::new("other").unwrap()), *first);
    }
}
