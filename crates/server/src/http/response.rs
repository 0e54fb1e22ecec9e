//! Answers: whole in memory, compressed when the client accepts it and it pays.

use std::io::Write as _;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// An answer.
pub type Response = http::Response<Bytes>;

/// Bodies below this many bytes are sent as they are: they fit into one packet anyway.
pub const COMPRESSED_BYTES_MIN: usize = 1400;

/// The content type of the query path's JSON.
pub const JSON: &str = "application/json; charset=UTF-8";

/// An answer with a body of some type.
pub fn with_type(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// JSON, as the query path answers it.
pub fn json(body: impl Into<Bytes>) -> Response {
    with_type(StatusCode::OK, JSON, body)
}

/// Plain text.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Response {
    with_type(status, "text/plain; charset=utf-8", body)
}

/// No body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// Whether a client accepts gzip: the header names it, or `*`, without a quality of zero.
#[must_use]
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_named = matches!(parts.next(), Some("gzip" | "x-gzip" | "*"));
            is_named && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
}

/// Compresses the body of an answer that is worth it. Costs about 10 ms per megabyte.
#[must_use]
pub fn compress(mut response: Response) -> Response {
    let is_encoded = response.headers().contains_key(header::CONTENT_ENCODING);
    if response.body().len() < COMPRESSED_BYTES_MIN || is_encoded {
        return response;
    }
    let capacity = response.body().len() / 4;
    let mut encoder = GzEncoder::new(Vec::with_capacity(capacity), Compression::fast());
    let written = encoder.write_all(response.body());
    // Writing into memory does not fail.
    let Ok(compressed) = written.and_then(|()| encoder.finish()) else { return response };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    *response.body_mut() = Bytes::from(compressed);
    response
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn clients_say_whether_they_accept_gzip() {
        let accepts = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            accepts_gzip(&headers)
        };
        assert!(accepts("gzip") && accepts("deflate, gzip;q=0.5") && accepts("*"));
        assert!(!accepts("identity") && !accepts("gzip;q=0") && !accepts("br, zstd"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn large_answers_are_compressed() {
        let small = compress(json("x".repeat(COMPRESSED_BYTES_MIN - 1)));
        assert!(!small.headers().contains_key(header::CONTENT_ENCODING));
        let large = compress(json("x".repeat(COMPRESSED_BYTES_MIN)));
        assert_eq!(large.headers()[header::CONTENT_ENCODING], "gzip");
        let mut body = String::new();
        flate2::read::GzDecoder::new(&large.body()[..]).read_to_string(&mut body).unwrap();
        assert_eq!(body.len(), COMPRESSED_BYTES_MIN);
    }
}
