//! Entries come in: Loki's protobuf and JSON, and OTLP.
//!
//! The body is read with its limits, unpacked, decoded, and given to the distributor, which answers
//! when every entry is stored. Success is 204 without a body.

mod body;
mod content_type;

use std::sync::Arc;

use bytes::Bytes;
use distributor::{Distributor, Prepared, PushContext, PushFormat, PushRefused};
use http::StatusCode;
use model::{TenantId, Timestamp};
use runtime::limits::LimitsFor as _;

use api::body::{BodyError, ContentEncoding, decompress};
use api::otlp::{self, OtlpConfig};
use api::push::{Push, PushError};
use api::{push_json, push_protobuf};

use super::call::{Call, Outcome};
use super::error::{HttpError, code};
use super::response::{self, Response};
use crate::blocking;
use body::Body;
pub use body::PushBudget;
use content_type::{Format, media_type};

/// `POST /loki/api/v1/push`
pub async fn push(call: Call) -> Outcome {
    receive(call, Dialect::Loki).await
}

/// `POST /api/prom/push`: as above, with the older shape of JSON.
pub async fn push_legacy(call: Call) -> Outcome {
    receive(call, Dialect::Legacy).await
}

/// `POST /otlp/v1/logs`
pub async fn push_otlp(call: Call) -> Outcome {
    match receive(call, Dialect::Otlp).await {
        Ok(response) => Ok(response),
        Err(error) => Ok(otlp_error(error)),
    }
}

/// Which of the endpoints was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Loki,
    Legacy,
    Otlp,
}

async fn receive(mut call: Call, dialect: Dialect) -> Outcome {
    let distributor = call.app.parts.distributor.get()?;
    let tenant = call.tenant()?.clone();
    let (announced, app) = (call.content_length(), Arc::clone(&call.app));
    let prepared = match prepare(&mut call, dialect, &distributor, &tenant).await {
        Err(Refused::Unread(error)) => {
            app.http_metrics.push_unread(&tenant, error.status, announced);
            return Err(error);
        }
        Err(Refused::Read(error)) => return Err(refused(error)),
        Ok(prepared) => prepared,
    };
    distributor.hand_over(prepared).await.map_err(refused)?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// Why nothing of a push is stored.
enum Refused {
    /// The body was not read, so nobody knows what was in it.
    Unread(HttpError),
    /// The distributor has counted what was in it.
    Read(PushRefused),
}

/// From bytes to what the ingester takes. The body's memory is given back when this returns.
async fn prepare(
    call: &mut Call,
    dialect: Dialect,
    distributor: &Distributor,
    tenant: &TenantId,
) -> Result<Prepared, Refused> {
    let packing = negotiate(call, dialect).map_err(Refused::Unread)?;
    let context = PushContext {
        format: if dialect == Dialect::Otlp { PushFormat::Otlp } else { PushFormat::Loki },
        policy: some(call.header("x-loki-ingestion-policy")),
        backfill_shard: some(call.header("x-loki-backfill-shard")),
    };
    let app = Arc::clone(&call.app);
    let body = Body::receive(call).await.map_err(Refused::Unread)?;
    // Lines shrink to about a quarter, and the work is with the lines.
    blocking::inline(4 * body.len(), || {
        let body = body.unpack(&app, |bytes, limit| unpack(bytes, dialect, packing, limit));
        let body = body.map_err(Refused::Unread)?;
        let push = match dialect {
            Dialect::Otlp => {
                let config = app.otlp_config.limits_for(tenant);
                decode_otlp(&body, packing.0, &config, app.clock.now())
            }
            _ => decode(&body, packing.0, dialect),
        };
        let push = push.map_err(|error| Refused::Unread(malformed(error)))?;
        distributor.prepare(tenant, push, context).map_err(Refused::Read)
    })
}

fn some(header: &str) -> Option<String> {
    (!header.is_empty()).then(|| header.to_owned())
}

/// How the body is written and packed, by its headers.
fn negotiate(call: &Call, dialect: Dialect) -> Result<(Format, ContentEncoding), HttpError> {
    let content_type = call.header("content-type");
    let content_encoding = call.header("content-encoding");
    let bad = |text: String| HttpError::line(StatusCode::BAD_REQUEST, text);
    if dialect == Dialect::Otlp {
        let encoding =
            ContentEncoding::of_otlp(content_encoding).map_err(|error| bad(error.to_string()))?;
        return match content_type {
            "application/x-protobuf" => Ok((Format::Protobuf, encoding)),
            "application/json" => Ok((Format::Json, encoding)),
            other => Err(bad(format!(
                "unsupported content type: {other}: only application/json and \
                 application/x-protobuf are supported"
            ))),
        };
    }
    let encoding =
        ContentEncoding::of_push(content_encoding).map_err(|error| bad(error.to_string()))?;
    let is_json = media_type(content_type).map_err(bad)? == "application/json";
    Ok((if is_json { Format::Json } else { Format::Protobuf }, encoding))
}

/// Takes off the content encoding, and the snappy block inside that Loki's protobuf always has.
fn unpack(
    bytes: Bytes,
    dialect: Dialect,
    (format, encoding): (Format, ContentEncoding),
    limit: u64,
) -> Result<Bytes, BodyError> {
    let bytes = decompress(bytes, encoding, limit)?;
    if format == Format::Protobuf && dialect != Dialect::Otlp {
        decompress(bytes, ContentEncoding::SnappyBlock, limit)
    } else {
        Ok(bytes)
    }
}

fn decode(body: &[u8], format: Format, dialect: Dialect) -> Result<Push<'_>, PushError> {
    match (format, dialect) {
        (Format::Protobuf, _) => push_protobuf::decode(body),
        (Format::Json, Dialect::Legacy) => push_json::decode_legacy(body),
        (Format::Json, _) => push_json::decode(body),
    }
}

fn decode_otlp<'a>(
    body: &'a [u8],
    format: Format,
    config: &OtlpConfig,
    received: Timestamp,
) -> Result<Push<'a>, PushError> {
    match format {
        Format::Protobuf => otlp::decode_protobuf(body, config, received),
        Format::Json => otlp::decode_json(body, config, received),
    }
}

fn malformed(error: PushError) -> HttpError {
    let status = match error {
        PushError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        PushError::Empty => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_REQUEST,
    };
    HttpError::line(status, error.to_string())
}

fn refused(refused: PushRefused) -> HttpError {
    HttpError::line(code(refused.status), refused.message).retry_after(refused.retry_after)
}

/// OTLP wants a protobuf `google.rpc.Status`, and retries 503 but not 500.
fn otlp_error(error: HttpError) -> Response {
    let text = error.body.trim_end_matches('\n').to_owned();
    let mut response = error.into_response();
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let protobuf = http::HeaderValue::from_static("application/x-protobuf");
    response.headers_mut().insert(http::header::CONTENT_TYPE, protobuf);
    *response.body_mut() = Bytes::from(otlp::encode_status(&text));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn otlp_errors_are_protobuf() {
        let error = HttpError::line(StatusCode::INTERNAL_SERVER_ERROR, "disk");
        let response = otlp_error(error);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(&response.body()[..], b"\x12\x04disk");
        assert_eq!(response.headers()["content-type"], "application/x-protobuf");
    }
}
