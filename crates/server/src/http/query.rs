//! Queries: `query`, `query_range`, and the legacy `/api/prom/query`.
//!
//! A handler reads the parameters, asks the frontend, and writes what it answers. When the client
//! goes away the handler is dropped, and the frontend ends the query.

mod tags;

use api::params::{InstantParams, ParamError, RangeParams};
use api::query::{EncodingFlags, Timing, json, write_answer, write_legacy_streams, write_stats};
use frontend::{Request, TaskError, Timed};
use http::StatusCode;
use logql::eval::CancelReason;
use logql::request::{QueryRequest, QueryTime};
use model::ErrorKind;
use model::answer::{Sample, Value};
use model::label::quote_into;
use querier::Error;

use super::call::{Call, Outcome};
use super::error::{CLIENT_CLOSED_REQUEST, HttpError, code};
use super::form::Form;
use super::response::{self, Response};
use crate::blocking;

/// `GET` and `POST /loki/api/v1/query`
pub async fn instant(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let params = InstantParams::parse(|name| form.get(name), call.app.clock.now());
    let params = params.map_err(refused_param)?;
    let request = QueryRequest {
        text: params.query,
        time: QueryTime::Instant(params.time),
        direction: params.direction,
        limit: params.limit,
        interval_ns: 0,
        categorize: false,
        tags: tags::of(&call),
        part: None,
    };
    let timed = ask(&call, request).await?;
    match timed.answer.value {
        Value::Scalar(sample) => Ok(write_scalar(&timed, sample)),
        _ => Ok(write(&timed, &EncodingFlags::default())),
    }
}

/// `GET` and `POST /loki/api/v1/query_range`
pub async fn range(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let flags = encoding(&call);
    let request = range_request(&call, &form, &flags)?;
    let timed = ask(&call, request).await?;
    Ok(write(&timed, &flags))
}

/// `GET` and `POST /api/prom/query`: a log query over a range, in the older shape.
pub async fn legacy(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let mut request = range_request(&call, &form, &EncodingFlags::default())?;
    add_regexp(&form, &mut request.text);
    let only_streams = "legacy endpoints only support streams result type";
    if logql::parse(&request.text).is_ok_and(|query| query.log_expr().is_none()) {
        return Err(HttpError::bad_request(only_streams));
    }
    let timed = ask(&call, request).await?;
    let Value::Streams(streams) = &timed.answer.value else {
        return Err(HttpError::bad_request(only_streams));
    };
    let mut body = Vec::new();
    write_legacy_streams(streams, &timed.answer.stats, &timing(&timed), &mut body);
    Ok(response::json(body))
}

/// How the client wants labels, by its header.
pub(super) fn encoding(call: &Call) -> EncodingFlags {
    EncodingFlags::parse(call.header("x-loki-response-encoding-flags"))
}

/// Adds the legacy parameter `regexp` to a query as its last line filter.
pub(super) fn add_regexp(form: &Form, query: &mut String) {
    let regexp = form.get("regexp");
    if !regexp.is_empty() {
        query.push_str(" |~ ");
        quote_into(regexp, query);
    }
}

fn range_request(
    call: &Call,
    form: &Form,
    flags: &EncodingFlags,
) -> Result<QueryRequest, HttpError> {
    let params = RangeParams::parse(|name| form.get(name), call.app.clock.now());
    let params = params.map_err(refused_param)?;
    let RangeParams { query, start, end, limit, direction, step_ns, interval_ns } = params;
    Ok(QueryRequest {
        text: query,
        time: QueryTime::Range { start, end, step_ns },
        direction,
        limit,
        interval_ns,
        categorize: flags.categorize(),
        tags: tags::of(call),
        part: None,
    })
}

async fn ask(call: &Call, query: QueryRequest) -> Result<Timed, HttpError> {
    let frontend = call.app.parts.frontend.get()?;
    let request = Request {
        tenants: call.tenants.clone(),
        actor: actor(call),
        query,
        no_cache: call.header("cache-control").trim().eq_ignore_ascii_case("no-cache"),
    };
    frontend.query(request).await.map_err(refused_task)
}

/// Who of the tenant asks, from the outermost group inwards.
pub(super) fn actor(call: &Call) -> Vec<String> {
    let names = call.header("x-loki-actor-path").split('|').filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// The answer to a task that failed.
pub(super) fn refused_task(error: TaskError) -> HttpError {
    let TaskError { kind, message, stopped, .. } = error;
    refusal(kind, stopped, message)
}

fn write(timed: &Timed, flags: &EncodingFlags) -> Response {
    // A megabyte of answer takes about a millisecond to write.
    let bytes = usize::try_from(timed.answer.stats.entries_returned).unwrap_or(0) * 256;
    let body = blocking::inline(bytes, || {
        let mut body = Vec::with_capacity(bytes.clamp(4096, 16 << 20));
        write_answer(&timed.answer, &timing(timed), flags, &mut body);
        body
    });
    response::json(body)
}

/// A bare number at an instant. Its time is in milliseconds, which is what Loki answers and what
/// its clients have learnt to read; every other time is in seconds.
fn write_scalar(timed: &Timed, sample: Sample) -> Response {
    let mut body =
        b"{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[".to_vec();
    json::write_integer(sample.timestamp.as_millis(), &mut body);
    body.extend_from_slice(b",\"");
    json::write_float(sample.value, &mut body);
    body.extend_from_slice(b"\"],\"stats\":");
    write_stats(&timed.answer.stats, &timing(timed), &mut body);
    body.extend_from_slice(b"}}");
    response::json(body)
}

fn timing(timed: &Timed) -> Timing {
    Timing {
        exec_seconds: timed.worked.as_secs_f64(),
        queue_seconds: timed.waited.as_secs_f64(),
        ..Timing::default()
    }
}

/// A parameter that is wrong: 400.
pub(super) fn refused_param(error: ParamError) -> HttpError {
    HttpError::bad_request(error.0)
}

/// The answer to a request that a querier failed to answer.
pub(super) fn failed(error: Error) -> HttpError {
    refusal(error.kind(), error.cancelled(), error.to_string())
}

fn refusal(kind: ErrorKind, stopped: Option<CancelReason>, text: String) -> HttpError {
    match stopped {
        Some(CancelReason::Deadline) => HttpError::text(StatusCode::GATEWAY_TIMEOUT, text),
        Some(CancelReason::ClientGone) => HttpError::text(code(CLIENT_CLOSED_REQUEST), text),
        Some(CancelReason::Shutdown) => HttpError::text(StatusCode::SERVICE_UNAVAILABLE, text),
        None => HttpError::of_kind(kind, text),
    }
}
