//! What operators do to recent entries: flush them.

use http::StatusCode;

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::response;

/// `GET` and `POST /flush`: recent entries of all tenants become segments now.
pub async fn flush(call: Call) -> Outcome {
    let ingester = call.app.parts.ingester.get()?;
    let flushed = ingester.flush(None).await;
    flushed.map_err(|error| HttpError::of_kind(error.kind(), error.to_string()))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// `POST /flush/tenant`: recent entries of one tenant become segments now. A tenant's streams share
/// segments, so `streams`, which would pick some of them, is refused.
pub async fn flush_tenant(mut call: Call) -> Outcome {
    if !call.form().await?.get("streams").is_empty() {
        return Err(HttpError::bad_request(
            "streams cannot be flushed one by one, because they share segments: leave out \
             \"streams\" to flush the whole tenant",
        ));
    }
    let ingester = call.app.parts.ingester.get()?;
    let flushed = ingester.flush(Some(call.tenant()?)).await;
    flushed.map_err(|error| HttpError::of_kind(error.kind(), error.to_string()))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}
