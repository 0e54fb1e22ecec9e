//! Threads that share the pieces of one query.
//!
//! The only place of the crate that starts threads. They live no longer than one call, so a query
//! leaves nothing behind, and a panic on one of them is a panic of the caller.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::error::QueryError;

/// Calls `work` once for every item, on as many threads as there are `states`; each thread owns
/// one state. Items are started in order. With one state, or one item, no thread is started.
///
/// # Errors
///
/// The first error that any call answered; items not yet started are then left out.
pub fn share<T: Sync, S: Send>(
    items: &[T],
    states: &mut [S],
    work: impl Fn(&mut S, &T) -> Result<(), QueryError> + Sync,
) -> Result<(), QueryError> {
    if states.len() == 1 || items.len() <= 1 {
        let Some(state) = states.first_mut() else { return Ok(()) };
        return items.iter().try_for_each(|item| work(state, item));
    }
    let shared = Shared {
        items,
        next: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        error: Mutex::new(None),
    };
    std::thread::scope(|scope| {
        let (own, others) = states.split_at_mut(1);
        for state in others.iter_mut().take(items.len() - 1) {
            scope.spawn(|| shared.run(state, &work));
        }
        shared.run(&mut own[0], &work);
    });
    match shared.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Shared<'a, T> {
    items: &'a [T],
    next: AtomicUsize,
    failed: AtomicBool,
    error: Mutex<Option<QueryError>>,
}

impl<T: Sync> Shared<'_, T> {
    fn run<S>(&self, state: &mut S, work: &(impl Fn(&mut S, &T) -> Result<(), QueryError> + Sync)) {
        while !self.failed.load(Ordering::Relaxed) {
            let Some(item) = self.items.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                return;
            };
            if let Err(error) = work(state, item) {
                self.failed.store(true, Ordering::Relaxed);
                self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once() {
        let items: Vec<u64> = (0..1000).collect();
        for threads in [1, 2, 5] {
            let mut states = vec![0u64; threads];
            share(&items, &mut states, |sum, item| {
                *sum += item;
                Ok(())
            })
            .unwrap();
            assert_eq!(states.iter().sum::<u64>(), 499_500);
        }
    }

    #[test]
    fn an_error_ends_the_work() {
        let items: Vec<u32> = (0..100).collect();
        let mut states = vec![0u32; 3];
        let result = share(&items, &mut states, |_, item| match item {
            7 => Err(QueryError::Unsupported("seven".into())),
            _ => Ok(()),
        });
        assert_eq!(result.unwrap_err().to_string(), "seven");
    }
}
