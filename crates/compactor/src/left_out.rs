//! Which rows a merge leaves out on purpose.

use std::ops::{AddAssign, Range};
use std::sync::Arc;

use logql::source::Batch;
use logql::{Removal, RemovalScratch};
use model::{Labels, TenantId, Timestamp};
use store::{DeleteRequest, Retention};

/// What has expired and what delete requests name, as of one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct LeftOut {
    /// The rules, and the time; `None` when nothing expires.
    pub(crate) expiry: Option<(Arc<Retention>, Timestamp)>,
    /// Requests that are carried out, each with what it names.
    pub(crate) removals: Arc<[(Arc<DeleteRequest>, Removal)]>,
}

/// How many rows were left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LeftOutRows {
    pub(crate) expired: u64,
    pub(crate) deleted: u64,
    /// Rows that stood in several inputs.
    pub(crate) copies: u64,
}

impl AddAssign for LeftOutRows {
    fn add_assign(&mut self, other: Self) {
        self.expired += other.expired;
        self.deleted += other.deleted;
        self.copies += other.copies;
    }
}

/// What is left out of one stream.
pub(crate) struct OfStream {
    cutoff: Option<Timestamp>,
    /// Indices of the removals that match the stream.
    removals: Vec<usize>,
}

/// One scratch for each removal.
pub(crate) type Scratches = Vec<RemovalScratch>;

impl LeftOut {
    pub(crate) fn scratches(&self) -> Scratches {
        self.removals.iter().map(|(_, removal)| removal.scratch()).collect()
    }

    /// What is left out of a stream with rows between two times.
    pub(crate) fn of_stream(&self, labels: &Labels, first: Timestamp, last: Timestamp) -> OfStream {
        let cutoff = self.expiry.as_ref().and_then(|(rules, now)| rules.cutoff(labels, *now));
        let is_meant =
            |removal: &Removal| removal.range().overlaps(first, last) && removal.matches(labels);
        let removals = self.removals.iter().enumerate();
        let removals = removals.filter(|(_, (_, removal))| is_meant(removal)).map(|(at, _)| at);
        OfStream { cutoff: cutoff.filter(|cutoff| first < *cutoff), removals: removals.collect() }
    }

    /// Those of a stream's rows that are left out, ascending, and how many for which reason.
    pub(crate) fn find(
        &self,
        stream: &OfStream,
        batch: &Batch,
        (labels, mut rows): (&Labels, Range<usize>),
        scratches: &mut Scratches,
    ) -> (Vec<u32>, LeftOutRows) {
        let (mut found, mut counts) = (Vec::new(), LeftOutRows::default());
        if let Some(cutoff) = stream.cutoff {
            let times = &batch.timestamps[rows.clone()];
            let expired = times.partition_point(|at| *at < cutoff.0);
            found.extend((rows.start..rows.start + expired).map(|row| row as u32));
            counts.expired += expired as u64;
            rows.start += expired;
        }
        let expired = found.len();
        for at in &stream.removals {
            let (_, removal) = &self.removals[*at];
            removal.find(batch, (labels, rows.clone()), &mut scratches[*at], &mut found);
        }
        if stream.removals.len() > 1 {
            found[expired..].sort_unstable();
            found.dedup();
        }
        counts.deleted += (found.len() - expired) as u64;
        (found, counts)
    }
}

impl OfStream {
    /// Whether every row is kept.
    pub(crate) fn is_nothing(&self) -> bool {
        self.cutoff.is_none() && self.removals.is_empty()
    }
}

/// The tenant's requests that are carried out now, compiled. One whose query does not compile any
/// more hides nothing and removes nothing; it is told about and left as it is.
pub(crate) fn compile(
    tenant: &TenantId,
    requests: impl IntoIterator<Item = Arc<DeleteRequest>>,
) -> Arc<[(Arc<DeleteRequest>, Removal)]> {
    let compile = |request: Arc<DeleteRequest>| match Removal::parse(
        &request.query,
        request.range(),
    ) {
        Ok(removal) => Some((request, removal)),
        Err(error) => {
            tracing::error!(%tenant, id = request.id, %error, "a delete request is not understood");
            None
        }
    };
    requests.into_iter().filter_map(compile).collect()
}
