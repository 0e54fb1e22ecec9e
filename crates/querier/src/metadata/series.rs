//! Streams by selectors.

use std::collections::BTreeSet;
use std::sync::Arc;

use logql::source::Source as _;
use model::{Labels, Matcher, TenantId, Timestamp};

use crate::admit;
use crate::error::Error;
use crate::metrics::Operation;
use crate::querier::{Querier, Rows, inclusive};
use crate::source::tenants::{TENANT_LABEL, matchers_for, with_tenant};

/// Which streams are asked for.
#[derive(Debug, Clone)]
pub struct SeriesRequest {
    /// Selectors, of which a stream must match one; none, or a single `{}`, for all streams.
    pub selectors: Vec<String>,
    /// First instant.
    pub start: Timestamp,
    /// Last instant.
    pub end: Timestamp,
}

impl Querier {
    /// The labels of matching streams, each once, sorted.
    ///
    /// # Errors
    ///
    /// [`Error`] when a selector or the time is refused, or streams cannot be read.
    pub async fn series(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: &SeriesRequest,
    ) -> Result<Vec<Labels>, Error> {
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        let groups = groups(&request.selectors)?;
        admit::check_length(request.start, request.end, &limits)?;
        let now = self.clock.now();
        let Some(start) = admit::look_back(request.start, request.end, now, &limits) else {
            return Ok(Vec::new());
        };
        let range = inclusive(start, request.end);
        self.run_measured(Operation::series, &tenants, &limits, move |rows, _| {
            let mut found = BTreeSet::new();
            for group in &groups {
                add_group(rows, group, range, &mut found)?;
            }
            Ok(found.into_iter().collect())
        })
        .await
    }
}

fn add_group(
    rows: &Rows,
    group: &[Matcher],
    range: model::TimeRange,
    found: &mut BTreeSet<Labels>,
) -> Result<(), Error> {
    if !rows.are_of_several() {
        let streams = rows.tenants[0].streams(group, range)?;
        found.extend(streams.into_iter().map(|stream| stream.labels));
        return Ok(());
    }
    // A group that only chooses tenants selects nothing, as in Loki.
    if !group.is_empty() && group.iter().all(|matcher| matcher.name() == TENANT_LABEL) {
        return Ok(());
    }
    for source in &rows.tenants {
        let Some(matchers) = matchers_for(group, source.tenant()) else { continue };
        let streams = source.streams(&matchers, range)?;
        found.extend(streams.iter().map(|s| with_tenant(&s.labels, source.tenant())));
    }
    Ok(())
}

/// The matchers of each selector.
fn groups(selectors: &[String]) -> Result<Vec<Vec<Matcher>>, Error> {
    let is_empty = |selector: &String| selector.split_whitespace().eq(["{}"]);
    match selectors {
        [] => return Ok(vec![Vec::new()]),
        [one] if is_empty(one) => return Ok(vec![Vec::new()]),
        _ => {}
    }
    if let Some(empty) = selectors.iter().find(|selector| is_empty(selector)) {
        return Err(Error::refused(format!("0 matchers in group: {empty}")));
    }
    selectors.iter().map(|selector| Ok(logql::parse_selector(selector)?)).collect()
}
