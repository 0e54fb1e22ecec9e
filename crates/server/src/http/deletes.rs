//! Delete requests: made, listed, cancelled, and tried without effect.
//!
//! Parameters are read from the URL alone, as Loki does.

use std::sync::Arc;
use std::time::Duration;

use compactor::{Compactor, DeleteParams, Error, ListedDelete};
use http::{HeaderValue, Method, StatusCode};
use logql::request::{QueryRequest, QueryTime};
use model::answer::Value;
use model::units::parse_go_duration;
use model::{Direction, TenantId, TimeRange, Timestamp};
use serde_json::json;
use store::DeleteState;

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::form::Form;
use super::response;

/// The header that names a new request.
const REQUEST_ID: &str = "x-delete-request-id";

/// `/loki/api/v1/delete`: by method.
pub async fn deletes(call: Call) -> Outcome {
    let compactor = compactor_of(&call)?;
    let tenant = call.tenant()?.clone();
    let form = call.query();
    match call.request.method {
        Method::GET => list(&compactor, &tenant, &form),
        Method::DELETE => {
            let id = form.get("request_id");
            if id.is_empty() {
                return Err(HttpError::bad_request("request_id not set"));
            }
            let force = matches!(form.get("force"), "true" | "1" | "t" | "T" | "TRUE" | "True");
            compactor.cancel_delete(&tenant, id, force).await.map_err(failed)?;
            Ok(response::empty(StatusCode::NO_CONTENT))
        }
        _ => create(&call, &compactor, &tenant, &form).await,
    }
}

/// `GET /loki/api/v1/cache/generation_numbers`
pub async fn generation_numbers(call: Call) -> Outcome {
    let generation = compactor_of(&call)?.generation(call.tenant()?).await.map_err(failed)?;
    Ok(response::json(format!("\"{generation}\"")))
}

/// `POST /loki/api/v1/cache/generation_numbers/increase`
pub async fn increase_generation_numbers(call: Call) -> Outcome {
    compactor_of(&call)?.increase_generation(call.tenant()?).await.map_err(failed)?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// The compactor, where requests are carried out.
fn compactor_of(call: &Call) -> Result<Arc<Compactor>, HttpError> {
    if !call.app.config.compactor.retention_enabled {
        let text = "deletes are not enabled; set compactor.retention_enabled";
        return Err(HttpError::line(StatusCode::NOT_FOUND, text));
    }
    call.app.parts.compactor.get()
}

fn failed(error: Error) -> HttpError {
    match error {
        Error::Disabled => HttpError::text(StatusCode::FORBIDDEN, error.to_string()),
        error => HttpError::of_kind(error.kind(), error.to_string()),
    }
}

async fn create(call: &Call, compactor: &Compactor, tenant: &TenantId, form: &Form) -> Outcome {
    let params = params_of(form, call.app.clock.now())?;
    if form.get("dry_run") == "true" {
        compactor.check_delete(tenant, &params).map_err(failed)?;
        return try_out(call, tenant, &params).await;
    }
    let id = compactor.create_delete(tenant, params).await.map_err(failed)?;
    let mut answer = response::empty(StatusCode::NO_CONTENT);
    // An id is made of digits and letters.
    if let Ok(id) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(REQUEST_ID, id);
    }
    Ok(answer)
}

fn params_of(form: &Form, now: Timestamp) -> Result<DeleteParams, HttpError> {
    let query = form.get("query");
    if query.is_empty() {
        return Err(HttpError::bad_request("query not set"));
    }
    // The query comes before the times in whatever is wrong.
    if !matches!(logql::parse(query), Ok(logql::Expr::Log(_))) {
        return Err(HttpError::bad_request("invalid query expression"));
    }
    let start = match form.get("start") {
        "" => return Err(HttpError::bad_request("start time not set")),
        text => time_of("start", text)?,
    };
    let end = match form.get("end") {
        "" => now,
        text => time_of("end", text)?,
    };
    let max_interval = match form.get("max_interval") {
        "" => None,
        text => {
            let nanos = parse_go_duration(text).ok().and_then(|nanos| u64::try_from(nanos).ok());
            let refused = || HttpError::bad_request("invalid max_interval: require a duration");
            Some(Duration::from_nanos(nanos.ok_or_else(refused)?))
        }
    };
    Ok(DeleteParams { query: query.to_owned(), start, end, max_interval })
}

/// Unix seconds of ten digits, or RFC 3339.
fn time_of(name: &str, text: &str) -> Result<Timestamp, HttpError> {
    let is_seconds = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    let time = if is_seconds {
        text.parse().ok().map(Timestamp::from_seconds)
    } else {
        let parsed: Option<jiff::Timestamp> = text.parse().ok();
        parsed.and_then(|at| i64::try_from(at.as_nanosecond()).ok()).map(Timestamp)
    };
    time.ok_or_else(|| {
        let text = format!("invalid {name} time: require unix seconds or RFC3339 format");
        HttpError::bad_request(text)
    })
}

fn list(compactor: &Compactor, tenant: &TenantId, form: &Form) -> Outcome {
    let range = match (form.get("start"), form.get("end")) {
        ("", _) | (_, "") => None,
        (start, end) => {
            let (start, end) = (time_of("start", start)?, time_of("end", end)?);
            Some(TimeRange::new(start, Timestamp(end.0.saturating_add(1))))
        }
    };
    let listed = compactor.list_deletes(tenant, range);
    let items: Vec<_> = listed.iter().map(item).collect();
    Ok(response::json(json!(items).to_string()))
}

fn item(listed: &ListedDelete) -> serde_json::Value {
    let request = &listed.request;
    let seconds = |at: Timestamp| at.0.div_euclid(1_000_000_000);
    let status = match (request.state, listed.percent) {
        (DeleteState::Processed, _) => "processed".to_owned(),
        (_, Some(percent)) => format!("{percent}% Complete"),
        (_, None) => "received".to_owned(),
    };
    json!({
        "request_id": request.id,
        "start_time": seconds(request.start),
        "end_time": seconds(request.end),
        "query": request.query,
        "status": status,
        "created_at": seconds(request.created),
        "user_id": "",
    })
}

/// Sigyn's own: counts what a request would delete, and deletes nothing.
async fn try_out(call: &Call, tenant: &TenantId, params: &DeleteParams) -> Outcome {
    let querier = call.app.parts.querier.get()?;
    // A window excludes its first instant, and is written in whole milliseconds: the count may hold
    // entries of less than one millisecond before the start.
    let nanos = params.end.0.saturating_sub(params.start.0);
    let window = nanos / 1_000_000 + 1;
    let ask = |aggregation: &str| QueryRequest {
        text: format!("sum({aggregation}({} [{window}ms]))", params.query),
        time: QueryTime::Instant(params.end),
        direction: Direction::Backward,
        limit: 0,
        interval_ns: 0,
        categorize: false,
        tags: Default::default(),
        part: None,
    };
    let mut counts = Vec::new();
    for aggregation in ["count_over_time", "bytes_over_time"] {
        let answer = querier.query(std::slice::from_ref(tenant), ask(aggregation)).await;
        let answer = answer.map_err(super::query::failed)?;
        counts.push(match answer.value {
            Value::Vector(samples) => samples.first().map_or(0.0, |sample| sample.sample.value),
            _ => 0.0,
        });
    }
    let body = json!({ "lines": counts[0] as u64, "bytes": counts[1] as u64 });
    Ok(response::json(body.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(query: &str) -> Result<DeleteParams, String> {
        let now = Timestamp::from_seconds(1_755_900_100);
        params_of(&Form::new(b"", query), now).map_err(|error| error.body)
    }

    #[test]
    fn parameters_are_checked_in_order() {
        let selector = "query=%7Bapp%3D%22web%22%7D";
        let check = |query: &str, text: &str| assert_eq!(params(query).unwrap_err(), text);
        check("start=1", "query not set");
        check("query=%7Bapp&start=1", "invalid query expression");
        check("query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)", "invalid query expression");
        check(selector, "start time not set");
        let refused = "invalid start time: require unix seconds or RFC3339 format";
        check(&format!("{selector}&start=175580000"), refused);
        check(&format!("{selector}&start=1755800000.5"), refused);
        let refused = "invalid end time: require unix seconds or RFC3339 format";
        check(&format!("{selector}&start=1755800000&end=now"), refused);
        let good = params(&format!("{selector}&start=1755800000&max_interval=1h")).unwrap();
        assert_eq!(good.start, Timestamp::from_seconds(1_755_800_000));
        assert_eq!(good.end, Timestamp::from_seconds(1_755_900_100));
        assert_eq!(good.max_interval, Some(Duration::from_secs(3600)));
        let good =
            params(&format!("{selector}&start=2025-08-21T18:13:20Z&end=1755800001")).unwrap();
        assert_eq!(good.start, Timestamp::from_seconds(1_755_800_000));
    }
}
