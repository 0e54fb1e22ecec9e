//! Which rows stand in a range: what a cached answer is valid for.

use std::sync::Arc;

use logql::source::SourceError;
use model::{Matcher, TenantId, TimeRange};
use xxhash_rust::xxh3::Xxh3;

use crate::admit;
use crate::error::Error;
use crate::querier::{Job, Querier, Rows};
use crate::source::tenants::matchers_for;
use logql::request::QueryRequest;

/// The rows of a range at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RangeVersion {
    /// Identifies the rows that a query reads of the range; equal only if they are the same.
    /// `None` while some of them are in heads, or may have expired.
    pub hash: Option<u64>,
    /// Stored bytes of the segments that overlap the range.
    pub stored_bytes: u64,
}

/// A version in the making.
pub(crate) struct VersionHash {
    pub(crate) hash: Xxh3,
    /// Whether everything that decides the rows went into the hash.
    pub(crate) is_whole: bool,
    pub(crate) stored_bytes: u64,
}

impl Querier {
    /// Checks a whole query against its limits and tells which rows stand in some ranges.
    ///
    /// Rows do not change while the version of their range stays: segments never change, what
    /// arrives late is in heads until it is in a segment of another name, and delete requests in
    /// force are part of the version.
    ///
    /// # Errors
    ///
    /// [`Error`], as [`Querier::query`] would refuse the query.
    pub async fn versions(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: &QueryRequest,
        ranges: Vec<TimeRange>,
    ) -> Result<Vec<RangeVersion>, Error> {
        let expr = logql::parse(&request.text)?;
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        let job = Job::new(expr.clone(), request, &limits, tenants.len() > 1)?;
        let (start, end) = request.time.bounds();
        let start = admit::look_back(start, end, self.clock.now(), &limits).unwrap_or(start);
        let params = job.params(start, self.config.threads_per_query);
        let selectors: Vec<Vec<Matcher>> =
            expr.selectors().into_iter().map(<[Matcher]>::to_vec).collect();
        let ran = self.run(&tenants, &limits, move |rows, _control| {
            job.check_bytes(&*rows.source(), &params)?;
            Ok(versions(rows, &selectors, &ranges)?)
        });
        ran.await.map(|ran| ran.output)
    }
}

fn versions(
    rows: &Rows,
    selectors: &[Vec<Matcher>],
    ranges: &[TimeRange],
) -> Result<Vec<RangeVersion>, SourceError> {
    let new = |_: &TimeRange| VersionHash { hash: Xxh3::new(), is_whole: true, stored_bytes: 0 };
    let mut versions: Vec<VersionHash> = ranges.iter().map(new).collect();
    let start = ranges.iter().map(|range| range.start).min();
    let end = ranges.iter().map(|range| range.end).max();
    if let (Some(start), Some(end)) = (start, end) {
        let total = TimeRange::new(start, end);
        for source in &rows.tenants {
            let several = rows.are_of_several();
            let own = selectors.iter().filter_map(|matchers| match several {
                true => matchers_for(matchers, source.tenant()),
                false => Some(matchers.clone()),
            });
            source.versions(&own.collect::<Vec<_>>(), total, ranges, &mut versions)?;
        }
    }
    let version = |version: VersionHash| RangeVersion {
        hash: version.is_whole.then(|| version.hash.digest()),
        stored_bytes: version.stored_bytes,
    };
    Ok(versions.into_iter().map(version).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use model::Direction;
    use model::time::SECOND_NS as SECOND;

    use super::*;
    use crate::limits::Limits;
    use crate::testing::{Rig, TestHead, row, tenant, time, times};
    use logql::request::QueryTime;

    fn request(text: &str) -> QueryRequest {
        QueryRequest {
            text: text.into(),
            time: QueryTime::Range {
                start: time(0),
                end: time(100 * SECOND),
                step_ns: 10 * SECOND,
            },
            direction: Direction::Backward,
            limit: 100,
            interval_ns: 0,
            categorize: false,
            tags: BTreeMap::new(),
            part: None,
        }
    }

    #[tokio::test]
    async fn versions_change_with_rows() {
        let rig = Rig::new().await;
        let querier = rig.querier(crate::Config::default(), Limits::default());
        let ask = || async {
            let asked = request(r#"{app="x"}"#);
            let ranges = vec![times(0, 10 * SECOND), times(10 * SECOND, 20 * SECOND)];
            let versions = querier.versions(&[tenant()], &asked, ranges).await.unwrap();
            (versions[0].hash, versions[1].hash)
        };
        let line = |second: i64| row("{app=\"x\"}", second * SECOND, "line");
        let empty = ask().await;
        assert!(empty.0.is_some() && empty.1.is_some());
        rig.upload(&[line(1), line(2)], 0).await;
        let first = ask().await;
        assert!(first.0.is_some() && first.0 != empty.0);
        assert_eq!(first.1, empty.1, "a segment elsewhere says nothing about a range");
        assert_eq!(ask().await, first);
        let head = |rows: Vec<_>| vec![TestHead { rows, ..TestHead::default() }];
        rig.set_heads(head(vec![line(12)]));
        assert_eq!(ask().await, (first.0, None), "rows in heads may become more");
        rig.set_heads(head(vec![row("{app=\"y\"}", 12 * SECOND, "line")]));
        assert_eq!(ask().await, first, "rows of other streams");
        rig.set_heads(Vec::new());
        rig.upload(&[line(3)], 1).await;
        let late = ask().await;
        assert!(late.0.is_some() && late.0 != first.0);
    }

    #[tokio::test]
    async fn limits_refuse_before_anything_is_cut() {
        let rig = Rig::new().await;
        let limits = Limits { max_entries: 5, ..Limits::default() };
        let querier = rig.querier(crate::Config::default(), limits);
        let refused = querier.versions(&[tenant()], &request(r#"{app="x"}"#), Vec::new()).await;
        assert!(refused.unwrap_err().to_string().contains("max entries limit"));
    }
}
