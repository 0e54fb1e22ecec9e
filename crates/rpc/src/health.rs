//! The standard health service: whether the process wants requests.

use std::sync::Arc;

use futures_util::stream::BoxStream;
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

/// Answers for a role.
pub struct Health<R>(Arc<R>);

/// A service in front of a role.
#[must_use]
pub fn service<R: HealthRole>(role: Arc<R>) -> HealthService<R> {
    health::health_server::HealthServer::new(Health(role))
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
        match self.0.is_ready(&request.get_ref().service) {
            None => Err(Status::not_found("unknown service")),
            known => Ok(Response::new(status(known))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// The protocol allows to leave this out; clients then ask [`Self::check`] now and then.
    async fn watch(
        &self,
        _request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("use Check"))
    }
}
