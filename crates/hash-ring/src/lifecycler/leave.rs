//! The end of a life: LEAVING, handing over, withdrawing.

use runtime::Failure;

use super::Lifecycler;
use crate::instance::State;

impl Lifecycler {
    /// Leaves the ring. What fails on the way does not keep it from going on.
    pub(super) async fn leave(&self) -> Result<(), Failure> {
        let (ring, id) = (self.client.name(), &self.config.id);
        self.own.lock().instance.state = State::Leaving;
        self.beat().await;
        tracing::info!(%ring, %id, "leaving the ring");
        let hand_over = self.hand_over.lock().take();
        let mut result = Ok(());
        if let Some(hand_over) = hand_over {
            result = self.meanwhile(hand_over()).await;
        }
        self.pause(self.config.final_sleep, None).await;
        if !self.unregisters_on_shutdown() {
            return result;
        }
        // What was begun before must not bring the record back.
        let _one_at_a_time = self.publishing.lock().await;
        self.own.lock().instance.state = State::Left;
        match self.client.store().withdraw(id).await {
            Ok(()) => tracing::info!(%ring, %id, "left the ring"),
            Err(error) => self.trouble.failed("withdraw", ring, &error),
        }
        result
    }

    /// Sends heartbeats while something else goes on.
    async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = self.sleep(self.config.heartbeat_period) => self.beat().await,
            }
        }
    }
}
