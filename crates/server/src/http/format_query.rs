//! `/loki/api/v1/format_query`: a query, checked and laid out.

use http::StatusCode;
use serde_json::json;

use super::call::{Call, Outcome};
use super::response;

/// Answers JSON also when the query does not parse.
pub async fn format_query(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let (status, body) = match logql::parse(form.get("query")) {
        Ok(query) => {
            let text = logql::format_query(&query);
            (StatusCode::OK, json!({ "status": "success", "data": text }))
        }
        Err(error) => {
            let body = json!({ "status": "invalid-query", "error": error.to_string() });
            (StatusCode::BAD_REQUEST, body)
        }
    };
    Ok(response::with_type(status, "application/json", body.to_string()))
}
