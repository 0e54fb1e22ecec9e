//! How an operator takes an ingester out of service: for the next stop, now, or from writes alone.
//!
//! Marks are files beside the log, so that they outlive a restart.

use std::path::PathBuf;

use http::{Method, StatusCode};
use model::Timestamp;
use serde_json::json;

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::response;
use super::status::object;
use crate::app::App;
use crate::config::Config;

/// The file that says that the next stop is for good.
#[must_use]
pub fn shutdown_marker(config: &Config) -> PathBuf {
    marker(config, "prepare_shutdown")
}

/// The file that says that this ingester takes no writes; it holds since when, in seconds.
#[must_use]
pub fn read_only_marker(config: &Config) -> PathBuf {
    marker(config, "read_only")
}

fn marker(config: &Config, name: &str) -> PathBuf {
    let folder = &config.ingester.shutdown_marker_path;
    let folder = if folder.is_empty() { config.wal_directory() } else { folder.clone() };
    PathBuf::from(folder).join(name)
}

/// `/ingester/prepare_shutdown`: remembers in a file, which outlives a restart, that the next stop
/// is for good: then everything is stored and the ring is left, whatever the configuration says.
pub async fn prepare_shutdown(call: Call) -> Outcome {
    let marker = shutdown_marker(&call.app.config);
    match call.request.method {
        Method::POST => {
            write(&marker, "").await?;
            prepare(&call.app, true);
            Ok(response::empty(StatusCode::NO_CONTENT))
        }
        Method::DELETE => {
            remove(&marker).await?;
            prepare(&call.app, false);
            Ok(response::empty(StatusCode::NO_CONTENT))
        }
        _ => {
            let is_set = tokio::fs::try_exists(&marker).await.map_err(failed)?;
            Ok(response::text(StatusCode::OK, if is_set { "set" } else { "unset" }))
        }
    }
}

/// Says whether the next stop is for good.
pub fn prepare(app: &App, is_for_good: bool) {
    if let Some(ingester) = app.parts.ingester.find() {
        ingester.prepare_shutdown(is_for_good);
    }
    if let Some(life) = app.parts.rings.find().as_ref().and_then(|rings| rings.ingester()) {
        let is_usual = app.config.lifecycler.unregister_on_shutdown;
        life.set_unregister_on_shutdown(is_for_good || is_usual);
    }
}

/// `/ingester/prepare_downscale`: an ingester that takes no more writes and is read as before, so
/// that it is empty by the time it is stopped. The mark outlives a restart.
pub async fn prepare_downscale(call: Call) -> Outcome {
    let app = &call.app;
    let marker = read_only_marker(&app.config);
    match call.request.method {
        Method::POST => {
            if read_only_since(app).await?.is_none() {
                write(&marker, &seconds(app.clock.now()).to_string()).await?;
            }
            set_read_only(app, true).await?;
        }
        Method::DELETE => {
            remove(&marker).await?;
            set_read_only(app, false).await?;
        }
        _ => {}
    }
    let since = read_only_since(app).await?.unwrap_or(0);
    Ok(object(StatusCode::OK, &json!({ "timestamp": since })))
}

/// Since when this ingester takes no writes, in seconds.
async fn read_only_since(app: &App) -> Result<Option<i64>, HttpError> {
    match tokio::fs::read_to_string(read_only_marker(&app.config)).await {
        Ok(text) => Ok(Some(text.trim().parse().unwrap_or_default())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Marks the ingester in its ring, where distributors see it; one that is alone refuses.
///
/// # Errors
///
/// 503 when the ring cannot be told now: it is told with the next heartbeat.
pub async fn set_read_only(app: &App, is_read_only: bool) -> Result<(), HttpError> {
    let rings = app.parts.rings.find();
    if let Some(life) = rings.as_ref().and_then(|rings| rings.ingester()) {
        let told = life.set_read_only(is_read_only).await;
        return told.map_err(|error| HttpError::of_kind(error.kind(), error.to_string()));
    }
    app.parts.ingester.get()?.set_read_only(is_read_only);
    Ok(())
}

/// `GET` and `POST /ingester/shutdown`: the ingester leaves its ring and stops, after it has stored
/// everything, unless `flush=false`, which leaves it to the log. `delete_ring_tokens=true` lets the
/// next start choose new tokens. The process ends, unless `terminate=false`.
pub async fn shutdown(mut call: Call) -> Outcome {
    let form = call.form().await?;
    let is = |name: &str, default: bool| match form.get(name) {
        "" => Ok(default),
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        other => {
            Err(HttpError::bad_request(format!("{name}: {other:?} is neither true nor false")))
        }
    };
    let flush = is("flush", true)?;
    let delete_ring_tokens = is("delete_ring_tokens", false)?;
    let terminate = is("terminate", true)?;
    let app = &call.app;
    let ingester = app.parts.ingester.get()?;
    if app.stop.is_requested() || !app.begin_ingester_shutdown() {
        return Err(HttpError::unavailable("already stopping"));
    }
    tracing::info!(flush, delete_ring_tokens, terminate, "asked to stop the ingester by request");
    ingester.set_read_only(true);
    ingester.set_flush_on_stop(flush);
    let rings = app.parts.rings.find();
    let life = rings.as_ref().and_then(|rings| rings.ingester());
    if let (Some(rings), Some(life)) = (&rings, life) {
        life.set_unregister_on_shutdown(true);
        rings.leave_as_ingester().await;
    }
    ingester.stop().await;
    if let Some(life) = life.filter(|_| delete_ring_tokens) {
        let removed = life.remove_token_file().await;
        removed.map_err(|error| HttpError::of_kind(error.kind(), error.to_string()))?;
    }
    if terminate {
        app.stop.request();
    }
    Ok(response::empty(StatusCode::NO_CONTENT))
}

async fn write(path: &std::path::Path, text: &str) -> Result<(), HttpError> {
    if let Some(folder) = path.parent() {
        tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    }
    tokio::fs::write(path, text).await.map_err(failed)
}

async fn remove(path: &std::path::Path) -> Result<(), HttpError> {
    match tokio::fs::remove_file(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

fn failed(error: std::io::Error) -> HttpError {
    HttpError::line(StatusCode::INTERNAL_SERVER_ERROR, format!("marker of the ingester: {error}"))
}

fn seconds(at: Timestamp) -> i64 {
    at.as_millis() / 1000
}
