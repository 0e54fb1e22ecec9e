//! From a request to a websocket.

use std::future::Future;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::http::error::HttpError;
use crate::http::response::{self, Response};

/// A websocket over a connection of the listener.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Frames of clients are read and ignored; longer ones end the tail.
const CLIENT_MESSAGE_BYTES_MAX: usize = 64 << 10;
/// Bytes that may wait to be sent; a slow client makes the session wait instead.
const WRITE_BUFFER_BYTES_MAX: usize = 64 << 20;

/// Agrees to a websocket: the answer, and the socket once the answer was sent.
///
/// # Errors
///
/// 400 when the request does not ask for one.
pub(super) fn accept(
    request: &mut request::Parts,
) -> Result<(Response, impl Future<Output = hyper::Result<Socket>> + use<>), HttpError> {
    let refuse = |what: &str| {
        let text = format!(
            "Bad Request\nwebsocket: the client is not using the websocket protocol: {what}"
        );
        HttpError::line(StatusCode::BAD_REQUEST, text)
    };
    let headers = &request.headers;
    if request.method != Method::GET {
        return Err(refuse("request method is not GET"));
    }
    if !has_token(headers, header::CONNECTION, "upgrade") {
        return Err(refuse("'upgrade' token not found in 'Connection' header"));
    }
    if !has_token(headers, header::UPGRADE, "websocket") {
        return Err(refuse("'websocket' token not found in 'Upgrade' header"));
    }
    if !has_token(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return Err(refuse("unsupported version: 13 not found in 'Sec-Websocket-Version' header"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| refuse("'Sec-WebSocket-Key' header is missing or blank"))?;
    let accepted = HeaderValue::try_from(derive_accept_key(key.as_bytes()))
        .map_err(|_| refuse("'Sec-WebSocket-Key' header is not valid"))?;
    let upgrade = request.extensions.remove::<OnUpgrade>();
    let upgrade = upgrade.ok_or_else(|| refuse("the connection cannot be upgraded"))?;
    let mut answer = response::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = answer.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    Ok((answer, socket(upgrade)))
}

async fn socket(upgrade: OnUpgrade) -> hyper::Result<Socket> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_frame_size(Some(CLIENT_MESSAGE_BYTES_MAX))
        .max_write_buffer_size(WRITE_BUFFER_BYTES_MAX);
    let io = TokioIo::new(upgrade.await?);
    Ok(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| part.trim().eq_ignore_ascii_case(token))
}
