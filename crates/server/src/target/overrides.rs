//! Module `runtime-config`: limits of tenants from a file that is read again and again.
//!
//! A file that does not read at start stops the start; later the limits in force stay.

use std::fs;
use std::sync::Arc;

use runtime::Failure;
use runtime::service::Service;

use crate::app::App;

/// The file of overrides is not usable.
#[derive(Debug, thiserror::Error)]
#[error("read overrides {file}: {fault}")]
struct OverridesError {
    file: String,
    fault: String,
}

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let (starting, rounds) = (Arc::clone(app), Arc::clone(app));
    let service = Service::builder("runtime-config").starting(move |_| async move {
        load(&starting)?;
        Ok(())
    });
    if app.config.runtime_config.file.is_empty() {
        return Ok(service.build());
    }
    let (period, clock) = (app.config.runtime_config.period, Arc::clone(&app.clock));
    let service = service.every(period, clock, move || {
        if let Err(error) = load(&rounds) {
            tracing::error!(error = %error, "overrides are not read, the limits in force stay");
        }
        std::future::ready(Ok(()))
    });
    Ok(service.build())
}

/// Reads all files; a later one wins, key by key.
fn load(app: &App) -> Result<(), OverridesError> {
    let files = &app.config.runtime_config.file;
    let read = |file: &String| {
        fs::read_to_string(file)
            .map_err(|error| OverridesError { file: file.clone(), fault: error.to_string() })
    };
    let texts: Vec<String> = files.iter().map(read).collect::<Result<_, _>>()?;
    app.overrides.load(&texts).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        OverridesError { file: files.join(", "), fault: problems.join(", ") }
    })
}
