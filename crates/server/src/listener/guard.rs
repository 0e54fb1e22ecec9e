//! A connection that cannot be held open for nothing.
//!
//! A client that connects and sends nothing, or that does not take its answer, is cut off after a
//! while. Between requests the HTTP layer has a timeout of its own.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use runtime::clock::Clock;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a client may stall.
#[derive(Clone)]
pub struct Patience {
    /// Until the first byte.
    pub first_byte: Duration,
    /// Until it takes some more of an answer.
    pub write: Duration,
    /// What measures it.
    pub clock: Arc<dyn Clock>,
}

/// A connection and the patience with it.
pub struct Guarded<I> {
    inner: I,
    patience: Patience,
    /// Runs until the first byte arrives.
    first_byte: Option<BoxFuture<'static, ()>>,
    /// Runs while the client does not take what is sent.
    stalled_write: Option<BoxFuture<'static, ()>>,
}

impl<I> Guarded<I> {
    /// Guards a connection that was just accepted.
    pub fn new(inner: I, patience: Patience) -> Self {
        let first_byte = Some(patience.clock.sleep(patience.first_byte));
        Self { inner, patience, first_byte, stalled_write: None }
    }

    /// Passes on what a write answered, unless the client has stalled for too long.
    fn write_outcome<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled_write = None;
            return outcome;
        }
        let Patience { write, clock, .. } = &self.patience;
        let stalled = self.stalled_write.get_or_insert_with(|| clock.sleep(*write));
        stalled.as_mut().poll(cx).map(|()| Err(timed_out("the client does not take its answer")))
    }
}

fn timed_out(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<I: AsyncRead + Unpin> AsyncRead for Guarded<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buf);
        if let Some(first_byte) = &mut self.first_byte {
            if outcome.is_ready() {
                self.first_byte = None;
            } else if first_byte.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(timed_out("the client sends nothing")));
            }
        }
        outcome
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Guarded<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.write_outcome(cx, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.write_outcome(cx, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.write_outcome(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use runtime::clock::ManualClock;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn guarded() -> (Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<ManualClock>) {
        let (server, client) = tokio::io::duplex(4);
        let clock = Arc::new(ManualClock::default());
        let patience = Patience {
            first_byte: Duration::from_secs(10),
            write: Duration::from_secs(5),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        (Guarded::new(server, patience), client, clock)
    }

    #[tokio::test]
    async fn a_silent_client_is_cut_off() {
        let (mut server, _client, clock) = guarded();
        let mut buf = [0; 4];
        assert!(server.read(&mut buf).now_or_never().is_none());
        clock.advance(Duration::from_secs(11));
        let error = server.read(&mut buf).now_or_never().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_client_that_has_spoken_may_pause() {
        let (mut server, mut client, clock) = guarded();
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read_u8().await.unwrap(), b'x');
        clock.advance(Duration::from_secs(60));
        assert!(server.read_u8().now_or_never().is_none());
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_off() {
        let (mut server, mut client, clock) = guarded();
        server.write_all(b"1234").await.unwrap();
        assert!(server.write_all(b"5").now_or_never().is_none());
        clock.advance(Duration::from_secs(4));
        let mut buf = [0; 4];
        client.read_exact(&mut buf).await.unwrap();
        server.write_all(b"5678").await.unwrap();
        assert!(server.write_all(b"9").now_or_never().is_none());
        clock.advance(Duration::from_secs(6));
        assert!(server.write_all(b"9").now_or_never().unwrap().is_err());
    }
}
