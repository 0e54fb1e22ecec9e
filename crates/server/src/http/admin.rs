//! What operators do to an ingester: flush it, and prepare it for being stopped.

use std::path::PathBuf;

use http::{Method, StatusCode};

use crate::config::Config;

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
/// segments, so `streams`, which would pick some of them, is not looked at: all are flushed.
pub async fn flush_tenant(call: Call) -> Outcome {
    let ingester = call.app.parts.ingester.get()?;
    let flushed = ingester.flush(Some(call.tenant()?)).await;
    flushed.map_err(|error| HttpError::of_kind(error.kind(), error.to_string()))?;
    Ok(response::empty(StatusCode::NO_CONTENT))
}

/// The file that says that the next stop is for good.
#[must_use]
pub fn shutdown_marker(config: &Config) -> PathBuf {
    PathBuf::from(config.wal_directory()).join("prepare_shutdown")
}

/// `/ingester/prepare_shutdown`: remembers in a file, which outlives a restart, that the next stop
/// is for good: then everything is stored, whatever the configuration says.
pub async fn prepare_shutdown(call: Call) -> Outcome {
    let marker = shutdown_marker(&call.app.config);
    let prepare = |is_for_good: bool| {
        if let Some(ingester) = call.app.parts.ingester.find() {
            ingester.prepare_shutdown(is_for_good);
        }
    };
    let failed = |error: std::io::Error| {
        HttpError::line(StatusCode::INTERNAL_SERVER_ERROR, format!("shutdown marker: {error}"))
    };
    match call.request.method {
        Method::POST => {
            tokio::fs::write(&marker, b"").await.map_err(failed)?;
            prepare(true);
            Ok(response::empty(StatusCode::NO_CONTENT))
        }
        Method::DELETE => match tokio::fs::remove_file(&marker).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => {
                prepare(false);
                Ok(response::empty(StatusCode::NO_CONTENT))
            }
        },
        _ => {
            let is_set = tokio::fs::try_exists(&marker).await.map_err(failed)?;
            Ok(response::text(StatusCode::OK, if is_set { "set" } else { "unset" }))
        }
    }
}

/// `GET` and `POST /ingester/shutdown`: flushes, unless `flush=false`, and ends the process, unless
/// `terminate=false`.
pub async fn shutdown(mut call: Call) -> Outcome {
    let form = call.form().await?;
    if call.app.stop.is_requested() {
        return Err(HttpError::unavailable("already stopping"));
    }
    if form.get("flush") != "false" {
        let ingester = call.app.parts.ingester.get()?;
        let flushed = ingester.flush(None).await;
        flushed.map_err(|error| HttpError::of_kind(error.kind(), error.to_string()))?;
    }
    if form.get("terminate") != "false" {
        tracing::info!("asked to stop by request");
        call.app.stop.request();
    }
    Ok(response::empty(StatusCode::NO_CONTENT))
}
