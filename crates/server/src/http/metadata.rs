//! What there is to query: labels, streams and sizes.

use std::sync::Arc;

use api::params::{self, ParamError};
use api::query::{EncodingFlags, Timing, metadata, write_answer};
use model::answer::{Answer, QueryStats, Value};
use model::{TimeRange, Timestamp};
use querier::Querier;
use querier::metadata::Scope;
use querier::metadata::series::SeriesRequest;
use querier::metadata::volume::{AggregateBy, VolumeRequest};

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::form::Form;
use super::query::{failed, refused_param};
use super::response;
use crate::blocking;

/// `/loki/api/v1/labels` and its older names.
pub async fn labels(mut call: Call) -> Outcome {
    let (querier, scope) = asked(&mut call).await?;
    let names = querier.labels(&call.tenants, &scope).await.map_err(failed)?;
    Ok(json(|body| metadata::write_label_list(names.iter().map(String::as_str), body)))
}

/// `/loki/api/v1/label/{name}/values` and its older name.
pub async fn label_values(mut call: Call) -> Outcome {
    let (querier, scope) = asked(&mut call).await?;
    let name = call.names.first().map_or("", String::as_str);
    let values = querier.label_values(&call.tenants, name, &scope).await.map_err(failed)?;
    Ok(json(|body| metadata::write_label_list(values.iter().map(String::as_str), body)))
}

/// `/loki/api/v1/series` and its older name.
pub async fn series(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let querier = call.app.parts.querier.get()?;
    let TimeRange { start, end } = bounds(&call, &form)?;
    let selectors = form.all("match[]").chain(form.all("match")).map(str::to_owned).collect();
    let request = SeriesRequest { selectors, start, end };
    let series = querier.series(&call.tenants, &request).await.map_err(failed)?;
    let body = blocking::inline(series.len() * 128, || {
        let mut body = Vec::new();
        metadata::write_label_sets(&series, &mut body);
        body
    });
    Ok(response::json(body))
}

/// `/loki/api/v1/index/stats`
pub async fn index_stats(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let querier = call.app.parts.querier.get()?;
    let (scope, _) = stepped(&call, &form)?;
    let stats = querier.index_stats(&call.tenants, &scope).await.map_err(failed)?;
    let stats = metadata::IndexStats {
        streams: stats.streams,
        chunks: stats.chunks,
        bytes: stats.bytes,
        entries: stats.entries,
    };
    Ok(json(|body| metadata::write_index_stats(&stats, body)))
}

/// `/loki/api/v1/index/volume`
pub async fn volume(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let (scope, _) = stepped(&call, &form)?;
    answer_volume(&call, &form, scope, None).await
}

/// `/loki/api/v1/index/volume_range`
pub async fn volume_range(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let (scope, step_ns) = stepped(&call, &form)?;
    answer_volume(&call, &form, scope, Some(step_ns)).await
}

async fn answer_volume(call: &Call, form: &Form, scope: Scope, step_ns: Option<i64>) -> Outcome {
    let querier = call.app.parts.querier.get()?;
    let limit = params::volume_limit(form.get("limit")).map_err(refused_param)?;
    let aggregate_by = params::aggregate_by(form.get("aggregateBy")).map_err(refused_param)?;
    let request = VolumeRequest {
        scope,
        target_labels: params::target_labels(form.get("targetLabels")),
        aggregate_by: match aggregate_by {
            params::AggregateBy::Series => AggregateBy::Series,
            params::AggregateBy::Labels => AggregateBy::Labels,
        },
        limit: limit as usize,
        step_ns,
    };
    let value = querier.volume(&call.tenants, &request).await.map_err(failed)?;
    Ok(json(|body| write_value(value, body)))
}

fn write_value(value: Value, body: &mut Vec<u8>) {
    let answer = Answer { value, stats: QueryStats::default(), warnings: Vec::new() };
    write_answer(&answer, &Timing::default(), &EncodingFlags::default(), body);
}

/// The querier, and a selector with a time.
pub(super) async fn asked(call: &mut Call) -> Result<(Arc<Querier>, Scope), HttpError> {
    let form = call.form().await?;
    let querier = call.app.parts.querier.get()?;
    let TimeRange { start, end } = bounds(call, &form)?;
    Ok((querier, Scope { query: form.get("query").to_owned(), start, end }))
}

/// A selector with a time and a step; the step is checked wherever it may be given.
pub(super) fn stepped(call: &Call, form: &Form) -> Result<(Scope, i64), HttpError> {
    let TimeRange { start, end } = bounds(call, form)?;
    check_order(start, end)?;
    let step_ns = params::step(form.get("step"), start, end).map_err(refused_param)?;
    Ok((Scope { query: form.get("query").to_owned(), start, end }, step_ns))
}

fn bounds(call: &Call, form: &Form) -> Result<TimeRange, HttpError> {
    params::bounds(|name| form.get(name), call.app.clock.now()).map_err(refused_param)
}

fn check_order(start: Timestamp, end: Timestamp) -> Result<(), HttpError> {
    if end >= start {
        return Ok(());
    }
    let text = "end timestamp must not be before or equal to start time";
    Err(refused_param(ParamError(text.to_owned())))
}

/// JSON written by a function.
pub(super) fn json(write: impl FnOnce(&mut Vec<u8>)) -> response::Response {
    let mut body = Vec::new();
    write(&mut body);
    response::json(body)
}
