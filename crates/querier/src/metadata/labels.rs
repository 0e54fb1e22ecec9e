//! Names of labels, and the values of one.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{Matcher, TenantId, TimeRange};

use crate::admit;
use crate::error::Error;
use crate::metadata::Scope;
use crate::metrics::Operation;
use crate::querier::{Querier, Rows, inclusive};
use crate::source::LabelPairs;
use crate::source::tenants::{TENANT_LABEL, matchers_for};

impl Querier {
    /// Names of the labels of matching streams, sorted. An empty query matches all streams.
    ///
    /// # Errors
    ///
    /// [`Error`] when the selector or the time is refused, or streams cannot be read.
    pub async fn labels(
        self: &Arc<Self>,
        tenants: &[TenantId],
        scope: &Scope,
    ) -> Result<Vec<String>, Error> {
        let several = tenants.len() > 1;
        let collected = self.collect(tenants, scope, |pairs, found| {
            for (name, _) in pairs {
                if !found.contains(name) {
                    found.insert(name.to_owned());
                }
            }
        });
        let mut names = collected.await?;
        if several && !names.is_empty() {
            names.insert(TENANT_LABEL.to_owned());
        }
        Ok(names.into_iter().collect())
    }

    /// Values of one label of matching streams, sorted. An empty query matches all streams.
    ///
    /// # Errors
    ///
    /// As [`Querier::labels`].
    pub async fn label_values(
        self: &Arc<Self>,
        tenants: &[TenantId],
        name: &str,
        scope: &Scope,
    ) -> Result<Vec<String>, Error> {
        let tenants = self.readable(tenants)?;
        if name == TENANT_LABEL && tenants.len() > 1 {
            return Ok(tenants.iter().map(ToString::to_string).collect());
        }
        let name = name.to_owned();
        let collected = self.collect(&tenants, scope, move |pairs, found| {
            for (_, value) in pairs.filter(|(own, _)| *own == name) {
                if !found.contains(value) {
                    found.insert(value.to_owned());
                }
            }
        });
        Ok(collected.await?.into_iter().collect())
    }

    async fn collect(
        self: &Arc<Self>,
        tenants: &[TenantId],
        scope: &Scope,
        take: impl Fn(LabelPairs<'_, '_>, &mut BTreeSet<String>) + Send + Sync + 'static,
    ) -> Result<BTreeSet<String>, Error> {
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        scope.check(&limits)?;
        let matchers = scope.optional_matchers()?;
        let now = self.clock.now();
        let Some(start) = admit::look_back(scope.start, scope.end, now, &limits) else {
            return Ok(BTreeSet::new());
        };
        let range = inclusive(start, scope.end);
        self.run_measured(Operation::labels, &tenants, &limits, move |rows, _| {
            let mut found = BTreeSet::new();
            visit(rows, &matchers, range, &mut |pairs| take(pairs, &mut found))?;
            Ok(found)
        })
        .await
    }
}

/// Calls `visit` with the labels of all matching streams, once for each stream of a tenant.
pub(crate) fn visit(
    rows: &Rows,
    matchers: &[Matcher],
    range: TimeRange,
    visit: &mut dyn FnMut(LabelPairs<'_, '_>),
) -> Result<(), Error> {
    for source in &rows.tenants {
        let own = if rows.are_of_several() {
            matchers_for(matchers, source.tenant())
        } else {
            Some(matchers.to_vec())
        };
        if let Some(own) = own {
            source.visit_streams(&own, range, visit)?;
        }
    }
    Ok(())
}
