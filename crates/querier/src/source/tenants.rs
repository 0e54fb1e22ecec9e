//! The rows of several tenants as one source.
//!
//! Every stream carries its tenant as the label `__tenant_id__`; a label of that name which it
//! already has becomes `original___tenant_id__`. Matchers on `__tenant_id__` choose tenants.

use std::sync::Arc;

use hashbrown::HashMap;
use logql::source::{Batch, Cells, Piece, Selection, Source, SourceError, StreamRun};
use logql::source::{StreamSummary, Want};
use model::{Fingerprint, Labels, Matcher, TenantId, TimeRange};
use parking_lot::{Mutex, RwLock};

use crate::source::tenant::TenantSource;

/// The label that names a stream's tenant.
pub(crate) const TENANT_LABEL: &str = "__tenant_id__";
/// Where a label of that name goes that the stream already has.
const ORIGINAL_LABEL: &str = "original___tenant_id__";

/// Labels of streams as a client sees them who reads several tenants.
type Relabelled = HashMap<Fingerprint, Vec<(Labels, (Labels, Fingerprint))>>;

/// Several tenants.
pub(crate) struct TenantsSource {
    parts: Vec<Part>,
    /// Which tenant a piece belongs to, and the piece as that tenant's source knows it.
    pieces: RwLock<Vec<(usize, Piece)>>,
}

struct Part {
    source: Arc<TenantSource>,
    relabelled: Mutex<Relabelled>,
}

impl TenantsSource {
    pub(crate) fn new(sources: Vec<Arc<TenantSource>>) -> Self {
        let part = |source| Part { source, relabelled: Mutex::default() };
        Self { parts: sources.into_iter().map(part).collect(), pieces: RwLock::default() }
    }

    fn part(&self, piece: &Piece) -> Option<(&Part, Piece)> {
        let (part, inner) = self.pieces.read().get(piece.id as usize).cloned()?;
        Some((self.parts.get(part)?, inner))
    }
}

impl Part {
    fn relabel(&self, run: &mut StreamRun) {
        let mut relabelled = self.relabelled.lock();
        let known = relabelled.entry(run.fingerprint).or_default();
        let found = known.iter().find(|(labels, _)| *labels == run.labels);
        let (labels, fingerprint) = match found {
            Some((_, new)) => new.clone(),
            None => {
                let labels = with_tenant(&run.labels, self.source.tenant());
                let new = (labels.clone(), labels.fingerprint());
                known.push((run.labels.clone(), new.clone()));
                new
            }
        };
        run.labels = labels;
        run.fingerprint = fingerprint;
    }
}

/// A stream's labels with its tenant among them.
pub(crate) fn with_tenant(labels: &Labels, tenant: &TenantId) -> Labels {
    let kept = labels
        .iter()
        .map(|(name, value)| (if name == TENANT_LABEL { ORIGINAL_LABEL } else { name }, value));
    Labels::new(kept.chain([(TENANT_LABEL, tenant.as_str())]))
}

/// What remains of matchers for one tenant; `None` when they exclude the tenant.
pub(crate) fn matchers_for(matchers: &[Matcher], tenant: &TenantId) -> Option<Vec<Matcher>> {
    let mut kept = Vec::with_capacity(matchers.len());
    for matcher in matchers {
        if matcher.name() != TENANT_LABEL {
            kept.push(matcher.clone());
        } else if !matcher.matches(tenant.as_str()) {
            return None;
        }
    }
    Some(kept)
}

impl Source for TenantsSource {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        let mut all = Vec::new();
        for (at, part) in self.parts.iter().enumerate() {
            let Some(matchers) = matchers_for(&selection.matchers, part.source.tenant()) else {
                continue;
            };
            // A stream's tenant is part of its fingerprint here, and the engine shards by that.
            let mut own = Selection { matchers, shard: None, ..selection.clone() };
            // The labels that are made here are not those of the tenant's streams.
            own.required_labels
                .retain(|label| ![TENANT_LABEL, ORIGINAL_LABEL].contains(&&*label.name));
            let pieces = part.source.pieces(&own)?;
            let mut known = self.pieces.write();
            for piece in pieces {
                all.push(Piece { id: known.len() as u64, ..piece.clone() });
                known.push((at, piece));
            }
        }
        Ok(all)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        let Some((part, inner)) = self.part(piece) else { return Ok(Batch::default()) };
        let mut batch = part.source.load(&inner, want)?;
        batch.runs.iter_mut().for_each(|run| part.relabel(run));
        Ok(batch)
    }

    fn cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        let Some((part, inner)) = self.part(piece) else { return Ok(None) };
        let mut cells = part.source.cells(&inner)?;
        for run in cells.iter_mut().flat_map(|cells| &mut cells.runs) {
            part.relabel(run);
        }
        Ok(cells)
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        let mut all = Vec::new();
        for part in &self.parts {
            let tenant = part.source.tenant();
            let Some(matchers) = matchers_for(matchers, tenant) else { continue };
            for stream in part.source.streams(&matchers, range)? {
                all.push(StreamSummary { labels: with_tenant(&stream.labels, tenant), ..stream });
            }
        }
        Ok(all)
    }

    fn warnings(&self) -> Vec<String> {
        let mut all: Vec<String> =
            self.parts.iter().flat_map(|part| part.source.warnings()).collect();
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use model::MatchOp;

    use super::*;

    #[test]
    fn streams_carry_their_tenant() {
        let tenant = TenantId::new("a").unwrap();
        let labels = with_tenant(&Labels::new([("app", "x"), (TENANT_LABEL, "mine")]), &tenant);
        let expected = Labels::new([("app", "x"), (TENANT_LABEL, "a"), (ORIGINAL_LABEL, "mine")]);
        assert_eq!(labels, expected);
    }

    #[test]
    fn matchers_choose_tenants() {
        let app = Matcher::new("app", MatchOp::Equal, "x").unwrap();
        let some = Matcher::new(TENANT_LABEL, MatchOp::Regex, "a|b").unwrap();
        let matchers = [some, app.clone()];
        let tenant = |name| TenantId::new(name).unwrap();
        assert_eq!(matchers_for(&matchers, &tenant("a")), Some(vec![app]));
        assert_eq!(matchers_for(&matchers, &tenant("c")), None);
    }
}
