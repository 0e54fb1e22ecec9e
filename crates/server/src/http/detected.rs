//! What lines look like: labels worth showing, fields, and patterns.

use api::params;
use api::query::detected::{
    DetectedField, PatternSeries, write_field_values, write_fields, write_labels, write_patterns,
};
use http::StatusCode;
use querier::Error;
use querier::metadata::detected_fields::DetectedFieldsRequest;
use querier::metadata::patterns::PatternsRequest;

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::form::Form;
use super::metadata::{asked, json, stepped};
use super::query::{failed, refused_param};
use super::response;

/// `/loki/api/v1/detected_labels`
pub async fn detected_labels(mut call: Call) -> Outcome {
    let (querier, scope) = asked(&mut call).await?;
    let labels = querier.detected_labels(&call.tenants, &scope).await.map_err(failed)?;
    let labels = labels.iter().map(|label| (label.label.as_str(), label.cardinality));
    Ok(json(|body| write_labels(labels, body)))
}

/// `/loki/api/v1/detected_fields`
pub async fn detected_fields(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let querier = call.app.parts.querier.get()?;
    let request = fields_request(&call, &form)?;
    let fields = querier.detected_fields(&call.tenants, &request).await.map_err(failed)?;
    let fields = fields.iter().map(|field| DetectedField {
        label: &field.label,
        kind: field.kind.as_str(),
        cardinality: field.cardinality,
        parsers: &field.parsers,
        json_path: &field.json_path,
    });
    Ok(json(|body| write_fields(fields, request.limit, body)))
}

/// `/loki/api/v1/detected_field/{name}/values`
pub async fn detected_field_values(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let querier = call.app.parts.querier.get()?;
    let request = fields_request(&call, &form)?;
    let name = call.names.first().map_or("", String::as_str);
    let values = querier.detected_field_values(&call.tenants, name, &request).await;
    let values = values.map_err(failed)?;
    let values = values.iter().map(String::as_str);
    Ok(json(|body| write_field_values(values, request.limit, body)))
}

fn fields_request(call: &Call, form: &Form) -> Result<DetectedFieldsRequest, HttpError> {
    let (scope, _) = stepped(call, form)?;
    let line_limit = params::limit(form.get("line_limit"), params::DEFAULT_LIMIT);
    let limit = form.find("limit").or(form.find("field_limit")).unwrap_or("");
    Ok(DetectedFieldsRequest {
        query: scope.query,
        start: scope.start,
        end: scope.end,
        line_limit: line_limit.map_err(refused_param)?,
        limit: params::limit(limit, params::DEFAULT_FIELD_LIMIT).map_err(refused_param)?,
    })
}

/// `/loki/api/v1/patterns`: 404 without a body where patterns are switched off, which makes
/// clients hide them.
pub async fn patterns(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let querier = call.app.parts.querier.get()?;
    let (scope, step_ns) = stepped(&call, &form)?;
    let request = PatternsRequest { scope, step_ns };
    let patterns = match querier.patterns(&call.tenants, &request).await {
        Err(Error::Disabled(_)) => return Ok(response::empty(StatusCode::NOT_FOUND)),
        other => other.map_err(failed)?,
    };
    let patterns = patterns.iter().map(|series| PatternSeries {
        pattern: &series.pattern,
        level: &series.level,
        samples: &series.samples,
    });
    Ok(json(|body| write_patterns(patterns, body)))
}
