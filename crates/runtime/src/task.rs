//! Starting work beside the caller's.
//!
//! A panic in a background task would otherwise leave a process that looks alive and does half of
//! its work. Here it is logged as an error and ends the process with [`PANIC_EXIT_CODE`]; whatever
//! was acknowledged is in the write-ahead log. Work done for one request is different: it runs
//! under [`contain`] or [`run_blocking`], and only that request fails.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
pub use tokio::task::JoinHandle;

/// The exit code of a process that a panic in a background task stopped.
pub const PANIC_EXIT_CODE: i32 = 101;

/// Work for one request panicked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("panic: {message}")]
pub struct Panicked {
    /// What the panic said.
    pub message: String,
}

/// Runs a future beside the caller. A panic inside stops the process.
///
/// # Panics
///
/// Outside a tokio runtime.
#[expect(clippy::disallowed_methods, reason = "the replacement that the rule asks for")]
pub fn spawn<T: Send + 'static>(
    name: &'static str,
    future: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(async move {
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => output,
            Err(panic) => stop_process(name, &*panic),
        }
    })
}

/// Runs a function that may block on a thread made for that. A panic inside stops the process.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn spawn_blocking<T: Send + 'static>(
    name: &'static str,
    function: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        match std::panic::catch_unwind(AssertUnwindSafe(function)) {
            Ok(output) => output,
            Err(panic) => stop_process(name, &*panic),
        }
    })
}

/// Runs a function on a thread of its own. A panic inside stops the process.
///
/// # Panics
///
/// When the operating system has no thread left; a process in that state cannot go on.
pub fn spawn_thread(
    name: &'static str,
    function: impl FnOnce() + Send + 'static,
) -> std::thread::JoinHandle<()> {
    let guarded = move || {
        if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(function)) {
            stop_process(name, &*panic);
        }
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(guarded)
        .expect("a thread can be started")
}

/// Runs a function that may block, for one request, and waits for it.
///
/// Dropping the future does not stop the function: give it something to look at, such as a
/// cancellation flag.
///
/// # Errors
///
/// [`Panicked`] when it panics: fail the request, count the panic, go on.
pub async fn run_blocking<T: Send + 'static>(
    function: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    match tokio::task::spawn_blocking(function).await {
        Ok(output) => Ok(output),
        Err(error) if error.is_panic() => Err(panicked(&*error.into_panic())),
        // Only a runtime that shuts down cancels blocking work.
        Err(error) => Err(Panicked { message: error.to_string() }),
    }
}

/// Runs a future for one request.
///
/// # Errors
///
/// [`Panicked`] when it panics: fail the request, count the panic, go on.
pub async fn contain<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| panicked(&*panic))
}

/// A task that ends when its handle is dropped.
#[derive(Debug)]
pub struct AbortOnDrop<T>(pub JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn panicked(panic: &(dyn Any + Send)) -> Panicked {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "unknown".to_owned());
    Panicked { message }
}

fn stop_process(name: &'static str, panic: &(dyn Any + Send)) -> ! {
    let Panicked { message } = panicked(panic);
    tracing::error!(task = name, panic = message, "a background task panicked, stopping");
    std::process::exit(PANIC_EXIT_CODE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_runs_and_answers() {
        assert_eq!(spawn("test", async { 1 }).await.unwrap(), 1);
        assert_eq!(spawn_blocking("test", || 2).await.unwrap(), 2);
        assert_eq!(run_blocking(|| 3).await, Ok(3));
        let (tx, rx) = std::sync::mpsc::channel();
        spawn_thread("test", move || tx.send(4).unwrap()).join().unwrap();
        assert_eq!(rx.recv(), Ok(4));
    }

    #[tokio::test]
    async fn a_panic_of_a_request_stays_there() {
        let expected = Err::<(), _>(Panicked { message: "boom 7".into() });
        assert_eq!(run_blocking(|| panic!("boom {}", 7)).await, expected);
        assert_eq!(contain(async { panic!("boom {}", 7) }).await, expected);
    }

    #[tokio::test]
    async fn a_dropped_guard_ends_its_task() {
        let (tx, rx) = tokio::sync::oneshot::channel::<()>();
        let guard = AbortOnDrop(spawn("test", async move {
            std::future::pending::<()>().await;
            drop(tx);
        }));
        drop(guard);
        assert!(rx.await.is_err());
    }
}
