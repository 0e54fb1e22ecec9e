//! The ring pages: who is in a ring, in which state, and with how much of it.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use hash_ring::page::{Row, UNHEALTHY};
use hash_ring::{Instance, RingClient, State};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::response;
use super::status::{escape, object};
use crate::app::App;

/// `GET /ring`: the ring of ingesters. `POST` with `forget=<name>` takes one out that is gone.
pub async fn ingesters(call: Call) -> Outcome {
    let ring = call.app.parts.rings.find().map(|rings| Arc::clone(rings.ingesters()));
    answer(call, "Ingester ring", ring).await
}

/// `GET /distributor/ring`: the ring of distributors.
pub async fn distributors(call: Call) -> Outcome {
    let ring = call.app.parts.rings.find().map(|rings| Arc::clone(rings.distributors()));
    answer(call, "Distributor ring", ring).await
}

/// `GET /indexgateway/ring`: the ring of index gateways.
pub async fn index_gateways(call: Call) -> Outcome {
    let ring = call.app.parts.rings.find().and_then(|rings| rings.index_gateways().cloned());
    answer(call, "Index gateway ring", ring).await
}

/// The ring of roles of which one process is enough: it is its own ring.
pub async fn alone(call: Call) -> Outcome {
    answer(call, "Ring", None).await
}

async fn answer(mut call: Call, title: &str, ring: Option<Arc<RingClient>>) -> Outcome {
    if call.request.method == Method::POST {
        return forget(&mut call, ring).await;
    }
    let rows = ring.as_ref().map_or_else(|| vec![own_row(&call.app)], |ring| ring.rows());
    let now = call.app.clock.now();
    let show_tokens = call.query().get("tokens") == "true";
    if call.header("accept").contains("application/json") {
        let shards: Vec<Value> = rows.iter().map(|row| as_json(row, show_tokens)).collect();
        let body = json!({ "shards": shards, "now": now.to_string() });
        return Ok(object(StatusCode::OK, &body));
    }
    let page = page(title, &rows, ring.is_some(), show_tokens);
    Ok(response::with_type(StatusCode::OK, "text/html; charset=utf-8", page))
}

async fn forget(call: &mut Call, ring: Option<Arc<RingClient>>) -> Outcome {
    let form = call.form().await?;
    let name = form.get("forget");
    let known = ring.filter(|ring| ring.ring().instance(name).is_some());
    let Some(ring) = known else {
        return Err(HttpError::bad_request(format!("no instance {name:?} is in this ring")));
    };
    tracing::info!(ring = %ring.name(), id = name, "an instance is forgotten by request");
    let forgotten = ring.forget(name).await;
    forgotten.map_err(|error| HttpError::of_kind(error.kind(), error.to_string()))?;
    let mut response = response::empty(StatusCode::FOUND);
    let back = HeaderValue::from_str(call.request.uri.path());
    let back = back.unwrap_or(HeaderValue::from_static("/ring"));
    response.headers_mut().insert(header::LOCATION, back);
    Ok(response)
}

/// A process without a ring is the only member of its own.
fn own_row(app: &App) -> Row {
    let instance = Instance {
        id: app.instance_id().into(),
        address: app.address_text().into(),
        zone: "".into(),
        state: State::Active,
        tokens: [].into(),
        heartbeat: app.clock.now(),
        registered: app.started,
        read_only_since: None,
    };
    let state = instance.state.as_str();
    let (heartbeat_age, tokens, ownership_percent) = (Duration::ZERO, 0, 100.0);
    Row { instance: Arc::new(instance), state, heartbeat_age, tokens, ownership_percent }
}

fn as_json(row: &Row, show_tokens: bool) -> Value {
    let instance = &row.instance;
    let read_only = instance.read_only_since;
    json!({
        "id": &*instance.id,
        "state": row.state,
        "address": &*instance.address,
        "timestamp": instance.heartbeat.to_string(),
        "registered_timestamp": instance.registered.to_string(),
        "read_only": read_only.is_some(),
        "read_only_updated_timestamp": read_only.map_or(String::new(), |at| at.to_string()),
        "zone": &*instance.zone,
        "tokens": if show_tokens { json!(instance.tokens) } else { json!([]) },
        "ownership": row.ownership_percent,
        "versions": {},
    })
}

fn page(title: &str, rows: &[Row], is_shared: bool, show_tokens: bool) -> String {
    let mut page = format!("<!DOCTYPE html><title>{title}</title><h1>{title}</h1><table>");
    page.push_str(
        "<tr><th>Instance<th>Zone<th>State<th>Address<th>Registered<th>Read-only since\
         <th>Heartbeat<th>Tokens<th>Ownership<th>",
    );
    for row in rows {
        let instance = &row.instance;
        let (id, zone) = (escape(&instance.id), escape(&instance.zone));
        let address = escape(&instance.address);
        let read_only = instance.read_only_since.map_or(String::new(), |at| at.to_string());
        let (age, share) = (row.heartbeat_age.as_secs(), row.ownership_percent);
        // Writing to a string does not fail.
        let _ = write!(
            page,
            "<tr><td>{id}<td>{zone}<td>{}<td>{address}<td>{}<td>{read_only}<td>{age} s ago<td>{}\
             <td>{share:.1}%<td>",
            row.state, instance.registered, row.tokens
        );
        if row.state == UNHEALTHY || row.state == State::Leaving.as_str() {
            let _ = write!(
                page,
                "<form method=post><button name=forget value=\"{id}\">Forget</button></form>"
            );
        }
        if show_tokens {
            let _ = write!(page, "<tr><td colspan=10>{:?}", instance.tokens);
        }
    }
    page.push_str("</table>");
    page.push_str(if is_shared {
        "<p>Forget takes an instance that is gone out of the ring. One that lives comes back. \
         <a href=\"?tokens=true\">Show tokens</a></p>\n"
    } else {
        "<p>One process: it is the only member.</p>\n"
    });
    page
}
