//! What is sent to the program under test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use model::Timestamp;

use crate::error::Error;
use crate::http::Connection;
use crate::server::Server;

/// Pushes all bodies over several connections, trying again when told to wait.
pub fn push(server: &Server, bodies: &[Vec<u8>], connections: usize) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let failure = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                if let Err(error) = push_some(server, bodies, &next)
                    && let Ok(mut failure) = failure.lock()
                {
                    *failure = Some(error);
                }
            });
        }
    });
    failure.into_inner().ok().flatten().map_or(Ok(()), Err)
}

fn push_some(server: &Server, bodies: &[Vec<u8>], next: &AtomicUsize) -> Result<(), Error> {
    let path = "/loki/api/v1/push";
    let fault = |answer: String| Error::Answer { request: path.to_owned(), answer };
    let mut connection = Connection::open(server.port).map_err(|e| fault(e.to_string()))?;
    while let Some(body) = bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
        let mut tries = 0;
        loop {
            let answer = connection.post(path, "application/x-protobuf", body);
            match answer.map_err(|e| fault(e.to_string()))? {
                (204, _) => break,
                (429 | 503, _) if tries < 600 => {
                    tries += 1;
                    std::thread::park_timeout(Duration::from_millis(20));
                }
                (status, text) => {
                    return Err(fault(format!("{status} {}", String::from_utf8_lossy(&text))));
                }
            }
        }
    }
    Ok(())
}

/// Sends a request that must succeed.
pub fn ask(server: &Server, method: &str, path: &str) -> Result<Vec<u8>, Error> {
    let answer = Connection::open(server.port).and_then(|mut connection| match method {
        "POST" => connection.post(path, "text/plain", b""),
        _ => connection.get(path),
    });
    match answer {
        Ok((200 | 204, body)) => Ok(body),
        Ok((status, body)) => Err(Error::Answer {
            request: path.to_owned(),
            answer: format!("{status} {}", String::from_utf8_lossy(&body)),
        }),
        Err(error) => Err(Error::Answer { request: path.to_owned(), answer: error.to_string() }),
    }
}

/// How many lines the store holds, by its own count.
pub fn count_lines(server: &Server, end: Timestamp) -> Result<u64, Error> {
    let end = end.0 / 1_000_000_000;
    let path = format!(
        "/loki/api/v1/query?query=sum%28count_over_time%28%7Bapp%3D~%22.%2B%22%7D%5B25h%5D%29%29&time={end}"
    );
    let body = ask(server, "GET", &path)?;
    let text = String::from_utf8_lossy(&body).into_owned();
    let value = text.split("\"value\":[").nth(1).and_then(|rest| rest.split('"').nth(1));
    value
        .and_then(|digits| digits.parse().ok())
        .ok_or(Error::Answer { request: path, answer: text })
}

/// The value of a metric, given its name with labels as it is exposed; 0 when there is none.
///
/// # Errors
///
/// [`Error::Answer`] when metrics cannot be read.
pub fn metric(server: &Server, name: &str) -> Result<f64, Error> {
    let text = String::from_utf8_lossy(&ask(server, "GET", "/metrics")?).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0))
}
