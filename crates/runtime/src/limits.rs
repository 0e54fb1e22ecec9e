//! Per-tenant limits, as the crates that enforce them see them.

use std::sync::Arc;

use model::TenantId;

/// Where a role reads the limits of a tenant. The values may change between two calls.
pub trait LimitsFor<L>: Send + Sync {
    /// The limits in force for the tenant now.
    fn limits_for(&self, tenant: &TenantId) -> Arc<L>;
}

/// The same limits for every tenant.
#[derive(Debug, Clone)]
pub struct SameLimits<L>(pub Arc<L>);

impl<L> SameLimits<L> {
    /// Gives every tenant these limits.
    pub fn new(limits: L) -> Self {
        Self(Arc::new(limits))
    }
}

impl<L: Send + Sync> LimitsFor<L> for SameLimits<L> {
    fn limits_for(&self, _tenant: &TenantId) -> Arc<L> {
        Arc::clone(&self.0)
    }
}
