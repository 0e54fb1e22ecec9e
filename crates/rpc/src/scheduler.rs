//! The scheduler's service and its clients. Tasks and answers are opaque bytes.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, future};
use model::ErrorKind;
use tonic::{Request, Response, Status, Streaming};

use crate::MESSAGE_BYTES_MAX;
use crate::error::Error;
use crate::generated::scheduler::scheduler_client::SchedulerClient;
use crate::generated::scheduler::scheduler_server;
use crate::generated::scheduler::{
    self as wire, done, from_frontend, from_worker, to_frontend, to_worker,
};
use crate::pool::{Calls, Peer};

#[cfg(test)]
mod tests;

/// What a frontend says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromFrontend {
    /// Take this task.
    Task {
        /// The frontend's own number.
        id: u64,
        /// Whose.
        tenant: String,
        /// Users within the tenant, outermost first.
        actor: Vec<String>,
        /// What to do.
        task: Bytes,
    },
    /// The answer is not needed any more.
    Cancel {
        /// The frontend's own number.
        id: u64,
    },
}

/// What a frontend hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToFrontend {
    /// The frontend's own number of the task.
    pub id: u64,
    /// The answer, or why there is none.
    pub outcome: Result<Bytes, Error>,
}

/// What a querier says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromWorker {
    /// How many tasks it runs at once.
    Slots(u32),
    /// A task is done.
    Done {
        /// The scheduler's number of the task.
        id: u64,
        /// The answer, or why there is none.
        outcome: Result<Bytes, Error>,
    },
}

/// What a querier hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToWorker {
    /// Do this.
    Task {
        /// The scheduler's number.
        id: u64,
        /// What to do.
        task: Bytes,
    },
    /// The answer is not needed any more.
    Cancel {
        /// The scheduler's number.
        id: u64,
    },
}

/// A scheduler, as other processes use it. A stream that ends means that the other side is gone.
pub trait SchedulerRole: Send + Sync + 'static {
    /// A frontend connects.
    fn frontend(&self, said: BoxStream<'static, FromFrontend>) -> BoxStream<'static, ToFrontend>;

    /// A querier connects.
    fn worker(&self, said: BoxStream<'static, FromWorker>) -> BoxStream<'static, ToWorker>;
}

/// The service, ready to be put behind a listener.
pub type SchedulerService<R> = scheduler_server::SchedulerServer<Service<R>>;

/// The path of every method of this service begins so.
pub const PATH: &str = "/sigyn.scheduler.v1.Scheduler/";

/// Answers for a role.
pub struct Service<R>(Arc<R>);

/// A service in front of a role.
#[must_use]
pub fn service<R: SchedulerRole>(role: Arc<R>) -> SchedulerService<R> {
    scheduler_server::SchedulerServer::new(Service(role))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// What each side has said, until it breaks or says something unknown.
fn understood<T, U>(
    said: Streaming<T>,
    understand: impl Fn(T) -> Option<U> + Send + 'static,
) -> BoxStream<'static, U>
where
    T: Send + 'static,
    U: Send + 'static,
{
    let said = said.map(move |message| message.ok().and_then(&understand));
    said.take_while(|message| future::ready(message.is_some())).filter_map(future::ready).boxed()
}

#[tonic::async_trait]
impl<R: SchedulerRole> scheduler_server::Scheduler for Service<R> {
    type FrontendStream = BoxStream<'static, Result<wire::ToFrontend, Status>>;

    async fn frontend(
        &self,
        request: Request<Streaming<wire::FromFrontend>>,
    ) -> Result<Response<Self::FrontendStream>, Status> {
        let answers = self.0.frontend(understood(request.into_inner(), read_from_frontend));
        Ok(Response::new(answers.map(|answer| Ok(write_to_frontend(answer))).boxed()))
    }

    type WorkerStream = BoxStream<'static, Result<wire::ToWorker, Status>>;

    async fn worker(
        &self,
        request: Request<Streaming<wire::FromWorker>>,
    ) -> Result<Response<Self::WorkerStream>, Status> {
        let tasks = self.0.worker(understood(request.into_inner(), read_from_worker));
        Ok(Response::new(tasks.map(|task| Ok(write_to_worker(task))).boxed()))
    }
}

fn calls(peer: &Peer) -> SchedulerClient<Calls> {
    let most = peer.message_bytes_max();
    SchedulerClient::new(peer.calls())
        .max_decoding_message_size(most)
        .max_encoding_message_size(most)
}

/// Connects as a frontend. The answers end with an error when the connection breaks: every task
/// that has no answer yet must be given to another scheduler.
///
/// # Errors
///
/// When the scheduler cannot be reached.
pub async fn connect_frontend(
    peer: &Peer,
    say: impl Stream<Item = FromFrontend> + Send + 'static,
) -> Result<BoxStream<'static, Result<ToFrontend, Error>>, Error> {
    let mut calls = calls(peer);
    let say = say.map(write_from_frontend);
    let heard = peer.ask(peer.call_timeout(), calls.frontend(say)).await?.into_inner();
    Ok(heard.map(|answer| read_to_frontend(answer?)).boxed())
}

/// Connects as a querier. The tasks end with an error when the connection breaks: what runs can be
/// given up.
///
/// # Errors
///
/// When the scheduler cannot be reached.
pub async fn connect_worker(
    peer: &Peer,
    say: impl Stream<Item = FromWorker> + Send + 'static,
) -> Result<BoxStream<'static, Result<ToWorker, Error>>, Error> {
    let mut calls = calls(peer);
    let say = say.map(write_from_worker);
    let heard = peer.ask(peer.call_timeout(), calls.worker(say)).await?.into_inner();
    Ok(heard.map(|task| read_to_worker(task?)).boxed())
}

fn write_from_frontend(said: FromFrontend) -> wire::FromFrontend {
    let (id, say) = match said {
        FromFrontend::Task { id, tenant, actor, task } => {
            (id, from_frontend::Say::Task(wire::Task { tenant, actor, task }))
        }
        FromFrontend::Cancel { id } => (id, from_frontend::Say::Cancel(wire::Cancel {})),
    };
    wire::FromFrontend { id, say: Some(say) }
}

fn read_from_frontend(said: wire::FromFrontend) -> Option<FromFrontend> {
    let id = said.id;
    Some(match said.say? {
        from_frontend::Say::Task(wire::Task { tenant, actor, task }) => {
            FromFrontend::Task { id, tenant, actor, task }
        }
        from_frontend::Say::Cancel(_) => FromFrontend::Cancel { id },
    })
}

fn write_to_frontend(said: ToFrontend) -> wire::ToFrontend {
    let say = match said.outcome {
        Ok(answer) => to_frontend::Say::Answer(answer),
        Err(error) => to_frontend::Say::Refused(refused(&error)),
    };
    wire::ToFrontend { id: said.id, say: Some(say) }
}

fn read_to_frontend(said: wire::ToFrontend) -> Result<ToFrontend, Error> {
    let outcome = match said.say.ok_or_else(unknown)? {
        to_frontend::Say::Answer(answer) => Ok(answer),
        to_frontend::Say::Refused(refused) => Err(error(refused)),
    };
    Ok(ToFrontend { id: said.id, outcome })
}

fn write_from_worker(said: FromWorker) -> wire::FromWorker {
    let say = match said {
        FromWorker::Slots(slots) => from_worker::Say::Slots(slots),
        FromWorker::Done { id, outcome } => {
            let outcome = match outcome {
                Ok(answer) => done::Outcome::Answer(answer),
                Err(error) => done::Outcome::Refused(refused(&error)),
            };
            from_worker::Say::Done(wire::Done { id, outcome: Some(outcome) })
        }
    };
    wire::FromWorker { say: Some(say) }
}

fn read_from_worker(said: wire::FromWorker) -> Option<FromWorker> {
    Some(match said.say? {
        from_worker::Say::Slots(slots) => FromWorker::Slots(slots),
        from_worker::Say::Done(wire::Done { id, outcome }) => {
            let outcome = match outcome? {
                done::Outcome::Answer(answer) => Ok(answer),
                done::Outcome::Refused(refused) => Err(error(refused)),
            };
            FromWorker::Done { id, outcome }
        }
    })
}

fn write_to_worker(said: ToWorker) -> wire::ToWorker {
    let (id, say) = match said {
        ToWorker::Task { id, task } => (id, to_worker::Say::Task(task)),
        ToWorker::Cancel { id } => (id, to_worker::Say::Cancel(wire::Cancel {})),
    };
    wire::ToWorker { id, say: Some(say) }
}

fn read_to_worker(said: wire::ToWorker) -> Result<ToWorker, Error> {
    let id = said.id;
    Ok(match said.say.ok_or_else(unknown)? {
        to_worker::Say::Task(task) => ToWorker::Task { id, task },
        to_worker::Say::Cancel(_) => ToWorker::Cancel { id },
    })
}

fn refused(error: &Error) -> wire::Refused {
    let wait = error.retry_after.map_or(0, |wait| wait.as_millis().max(1));
    wire::Refused {
        kind: error.kind.code().into(),
        message: error.message.clone(),
        retry_after_ms: u32::try_from(wait).unwrap_or(u32::MAX),
    }
}

fn error(refused: wire::Refused) -> Error {
    let kind = ErrorKind::from_code(refused.kind).unwrap_or(ErrorKind::Internal);
    let wait = u64::from(refused.retry_after_ms);
    let wait = (wait > 0).then(|| std::time::Duration::from_millis(wait));
    Error::new(kind, refused.message).retry_after(wait)
}

fn unknown() -> Error {
    Error::new(ErrorKind::Internal, "the scheduler said something unknown")
}
