//! New entries as they arrive, over a websocket.
//!
//! Everything that is wrong with a request is answered before the connection becomes a websocket,
//! but for queries that are no log queries and tenants with too many tails: those get a websocket
//! that closes at once, as clients expect.

mod feed;
mod live;
mod remote_feed;
mod session;
mod slots;
mod upgrade;

use std::sync::Arc;

use api::params;
use api::query::EncodingFlags;
use logql::Expr;
use logql::pipeline::{Hints, Pipeline};
use model::{Matcher, TenantId, Timestamp};
use runtime::task;

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::form::Form;
use super::query::{add_regexp, encoding};
use crate::app::App;
use session::Session;
pub use slots::Tails;

/// How a frame is written.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    Current(EncodingFlags),
    Legacy,
}

/// What a client wants to see.
struct Request {
    tenant: TenantId,
    query: String,
    /// `None` when the query is not a log query.
    selected: Option<(Vec<Matcher>, Pipeline)>,
    shape: Shape,
    /// Entries that are already there, at most that many, from that time on.
    limit: u32,
    start: Timestamp,
    delay_seconds: u32,
}

/// `GET /loki/api/v1/tail`
pub async fn tail(call: Call) -> Outcome {
    let encoding = encoding(&call);
    open(call, Shape::Current(encoding)).await
}

/// `GET /api/prom/tail`: as above, in the older shape.
pub async fn tail_legacy(call: Call) -> Outcome {
    open(call, Shape::Legacy).await
}

async fn open(mut call: Call, shape: Shape) -> Outcome {
    let form = call.form().await?;
    let request = Request::parse(&call, &form, shape)?;
    if call.app.parts.cluster.find().is_none() {
        call.app.parts.ingester.get()?;
    }
    let (response, upgraded) = upgrade::accept(&mut call.request)?;
    let app = Arc::clone(&call.app);
    drop(task::spawn("tail", async move {
        match upgraded.await {
            Ok(socket) => Session::new(app, request).run(socket).await,
            Err(error) => tracing::debug!(error = %error, "tail: upgrade the connection"),
        }
    }));
    Ok(response)
}

impl Request {
    fn parse(call: &Call, form: &Form, shape: Shape) -> Result<Self, HttpError> {
        let bad = |error: &dyn std::fmt::Display| HttpError::bad_request(error.to_string());
        let mut query = form.get("query").to_owned();
        add_regexp(form, &mut query);
        let expr = logql::parse(&query).map_err(|error| bad(&error))?;
        let now = call.app.clock.now();
        let range = params::bounds(|name| form.get(name), now).map_err(|error| bad(&error))?;
        let limit = params::limit(form.get("limit"), params::DEFAULT_LIMIT);
        let delay_seconds =
            params::tail_delay(form.get("delay_for")).map_err(|error| bad(&error))?;
        Ok(Self {
            tenant: call.tenant()?.clone(),
            selected: select(&expr).map_err(|error| bad(&error))?,
            query,
            shape,
            limit: limit.map_err(|error| bad(&error))?,
            start: range.start,
            delay_seconds,
        })
    }
}

fn select(expr: &Expr) -> Result<Option<(Vec<Matcher>, Pipeline)>, logql::pipeline::PipelineError> {
    let Some(log) = expr.log_expr() else { return Ok(None) };
    let pipeline = Pipeline::build(&log.stages, None, Hints::log())?;
    Ok(Some((log.selector.clone(), pipeline)))
}

impl App {
    /// How long after its start a tail is closed.
    fn tail_max(&self) -> std::time::Duration {
        self.config.querier.tail_max_duration
    }
}
