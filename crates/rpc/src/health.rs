//! The standard health service: whether the process wants requests.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use runtime::clock::Clock;
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::generated::health::health_check_response::ServingStatus;
use crate::generated::health::{self, HealthCheckRequest, HealthCheckResponse};
use crate::pool::Peer;

/// Knows whether the process wants requests.
pub trait HealthRole: Send + Sync + 'static {
    /// Whether the whole process (an empty name) or one service is ready; `None` for a service that
    /// does not exist.
    fn is_ready(&self, service: &str) -> Option<bool>;
}

/// The service, ready to be put behind a listener.
pub type HealthService<R> = health::health_server::HealthServer<Health<R>>;

/// How often a watched process is looked at.
const WATCH_PERIOD: Duration = Duration::from_secs(1);

/// Answers for a role.
pub struct Health<R> {
    role: Arc<R>,
    clock: Arc<dyn Clock>,
}

/// A service in front of a role. The clock says when to look again for those who watch.
#[must_use]
pub fn service<R: HealthRole>(role: Arc<R>, clock: Arc<dyn Clock>) -> HealthService<R> {
    health::health_server::HealthServer::new(Health { role, clock })
}

/// The path of every method of this service begins so.
pub const PATH: &str = "/grpc.health.v1.Health/";

/// Asks another process whether it wants requests.
///
/// # Errors
///
/// When it cannot be reached.
pub async fn check(peer: &Peer, service: &str) -> Result<bool, Error> {
    let mut client = health::health_client::HealthClient::new(peer.calls());
    let request = HealthCheckRequest { service: service.to_owned() };
    let answer = peer.ask(peer.call_timeout(), client.check(request)).await?;
    Ok(answer.into_inner().status() == ServingStatus::Serving)
}

fn status(is_ready: Option<bool>) -> HealthCheckResponse {
    let status = match is_ready {
        Some(true) => ServingStatus::Serving,
        Some(false) => ServingStatus::NotServing,
        None => ServingStatus::ServiceUnknown,
    };
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl<R: HealthRole> health::health_server::Health for Health<R> {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.role.is_ready(&request.get_ref().service) {
            None => Err(Status::not_found("unknown service")),
            known => Ok(Response::new(status(known))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// Tells how it is now, and again whenever that changes. Ends after it has told that a process
    /// which wanted requests wants none any more: it is about to stop, and waits for nobody.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let watched = Watched {
            role: Arc::clone(&self.role),
            clock: Arc::clone(&self.clock),
            service: request.into_inner().service,
            told: None,
            is_over: false,
        };
        Ok(Response::new(stream::unfold(watched, Watched::next).boxed()))
    }
}

/// A stream that tells how a service is.
struct Watched<R> {
    role: Arc<R>,
    clock: Arc<dyn Clock>,
    service: String,
    /// What was told last.
    told: Option<Option<bool>>,
    is_over: bool,
}

impl<R: HealthRole> Watched<R> {
    async fn next(mut self) -> Option<(Result<HealthCheckResponse, Status>, Self)> {
        if self.is_over {
            return None;
        }
        loop {
            let now = self.role.is_ready(&self.service);
            let before = self.told;
            if before != Some(now) {
                self.told = Some(now);
                self.is_over = before == Some(Some(true));
                return Some((Ok(status(now)), self));
            }
            self.clock.sleep(WATCH_PERIOD).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use model::Timestamp;
    use runtime::clock::ManualClock;

    use super::health::health_server::Health as _;
    use super::*;

    struct Switch(AtomicBool);

    impl HealthRole for Switch {
        fn is_ready(&self, service: &str) -> Option<bool> {
            service.is_empty().then(|| self.0.load(Ordering::Relaxed))
        }
    }

    #[tokio::test]
    async fn who_watches_is_told_of_every_change() {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let role = Arc::new(Switch(AtomicBool::new(false)));
        let of_clock = Arc::clone(&clock) as Arc<dyn Clock>;
        let health = Health { role: Arc::clone(&role), clock: of_clock };
        let watch = async |service: &str| {
            let request = HealthCheckRequest { service: service.to_owned() };
            health.watch(Request::new(request)).await.unwrap().into_inner()
        };
        let told =
            |answer: Option<Result<HealthCheckResponse, Status>>| answer.unwrap().unwrap().status();
        let mut stream = watch("").await;
        assert_eq!(told(stream.next().await), ServingStatus::NotServing);
        for (is_ready, expected) in
            [(true, ServingStatus::Serving), (false, ServingStatus::NotServing)]
        {
            role.0.store(is_ready, Ordering::Relaxed);
            let moving = async {
                loop {
                    clock.advance(WATCH_PERIOD);
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                answer = stream.next() => assert_eq!(told(answer), expected),
                () = moving => {}
            }
        }
        assert!(stream.next().await.is_none(), "it is about to stop");
        assert_eq!(told(watch("other").await.next().await), ServingStatus::ServiceUnknown);
    }
}
