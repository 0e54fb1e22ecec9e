//! Delete requests as people make, see and cancel them.

use std::sync::Arc;
use std::time::Duration;

use logql::Removal;
use model::units::format_go_duration;
use model::{TenantId, TimeRange, Timestamp};
use store::{DeleteRequest, DeleteState};

use crate::compactor::Compactor;
use crate::deletes::key_of;
use crate::error::Error;
use crate::limits::DeletionMode;

/// Below this name the generation numbers of caches stand beside the requests.
const GENERATION: &str = "generation";
/// How often another id is tried when one is taken.
const ID_ATTEMPTS: usize = 8;

/// What a client asks to be deleted.
#[derive(Debug, Clone)]
pub struct DeleteParams {
    /// A log query; what it finds is deleted.
    pub query: String,
    /// First instant.
    pub start: Timestamp,
    /// Last instant.
    pub end: Timestamp,
    /// Longest span of a shard, if the client chose one. It is checked, and needed for nothing:
    /// requests are carried out segment by segment.
    pub max_interval: Option<Duration>,
}

/// A request as it is listed.
#[derive(Debug, Clone)]
pub struct ListedDelete {
    /// The request.
    pub request: Arc<DeleteRequest>,
    /// How much of it is done, 0 to 99; `None` while it can be cancelled and when it is processed.
    pub percent: Option<u8>,
}

impl Compactor {
    /// Checks what a client asks to be deleted, without storing anything.
    ///
    /// # Errors
    ///
    /// [`Error::Disabled`], or [`Error::Refused`] with Loki's words.
    pub fn check_delete(&self, tenant: &TenantId, params: &DeleteParams) -> Result<(), Error> {
        let refused = |text: &str| Err(Error::Refused(text.to_owned()));
        if self.limits.limits_for(tenant).deletion_mode == DeletionMode::Disabled {
            return Err(Error::Disabled);
        }
        if Removal::parse(&params.query, TimeRange::ALL).is_err() {
            return refused("invalid query expression");
        }
        if params.end > self.clock.now() {
            return refused("deletes in the future are not allowed");
        }
        if params.start >= params.end {
            return refused("start time can't be greater than or equal to end time");
        }
        let Some(interval) = params.max_interval else { return Ok(()) };
        let whole = Duration::from_nanos(params.end.0.abs_diff(params.start.0));
        let text = |duration: Duration| {
            format_go_duration(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
        };
        if interval < Duration::from_secs(1) {
            return refused("max_interval can't be less than 1s");
        }
        let max = self.config.delete_max_interval;
        if !max.is_zero() && interval > max {
            let max = text(max);
            return Err(Error::Refused(format!("max_interval can't be greater than {max}")));
        }
        if interval > whole {
            return Err(Error::Refused(format!(
                "max_interval can't be greater than the interval to be deleted ({})",
                text(whole)
            )));
        }
        Ok(())
    }

    /// Stores a request and answers its id. When it returns, what the request names is hidden.
    ///
    /// # Errors
    ///
    /// As [`Compactor::check_delete`]; [`Error::Store`] when it could not be stored.
    pub async fn create_delete(
        &self,
        tenant: &TenantId,
        params: DeleteParams,
    ) -> Result<String, Error> {
        self.check_delete(tenant, &params)?;
        for _ in 0..ID_ATTEMPTS {
            let id = format!("{:08x}", self.random.next_u64() as u32);
            let request = DeleteRequest {
                id: id.clone(),
                tenant: tenant.clone(),
                query: params.query.clone(),
                start: params.start,
                end: params.end,
                created: self.clock.now(),
                state: DeleteState::Received,
            };
            if self.store.create_delete(request).await? == store::Created::New {
                self.metrics.delete_received(tenant);
                self.increase_generation(tenant).await?;
                return Ok(id);
            }
        }
        Err(Error::Refused("no free id was found, try again".to_owned()))
    }

    /// The requests of a tenant, oldest first; with a range only those that meet it.
    #[must_use]
    pub fn list_deletes(&self, tenant: &TenantId, range: Option<TimeRange>) -> Vec<ListedDelete> {
        let deletes = self.store.deletes();
        let progress = self.progress.lock();
        let meets = |request: &&Arc<DeleteRequest>| {
            range.is_none_or(|range| range.overlaps(request.start, request.end))
        };
        let listed = deletes.of(tenant).iter().filter(meets).map(|request| {
            let percent = (request.state == DeleteState::Begun).then(|| {
                let known = progress.get(&key_of(request)).map(|progress| progress.segments);
                let (clean, all) = known.unwrap_or_default();
                (clean * 100 / all.max(1)).min(99) as u8
            });
            ListedDelete { request: Arc::clone(request), percent }
        });
        listed.collect()
    }

    /// Cancels a request: what it hid and still exists is seen again. One that is being carried out,
    /// or was made longer ago than the cancel period, has to be forced.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownRequest`], [`Error::Refused`], [`Error::Store`].
    pub async fn cancel_delete(
        &self,
        tenant: &TenantId,
        id: &str,
        force: bool,
    ) -> Result<(), Error> {
        if self.limits.limits_for(tenant).deletion_mode == DeletionMode::Disabled {
            return Err(Error::Disabled);
        }
        let deletes = self.store.deletes();
        let found = deletes.of(tenant).iter().find(|request| request.id == id);
        let Some(request) = found else { return Err(Error::UnknownRequest) };
        let deadline = request.created.plus(self.config.cancel_period);
        let refusal = match request.state {
            DeleteState::Processed => Some("the request is already processed".to_owned()),
            _ if force => None,
            DeleteState::Begun => Some(
                "the request is partly processed; use force=true to cancel what is left of it"
                    .to_owned(),
            ),
            DeleteState::Received if self.clock.now() > deadline => {
                let period = i64::try_from(self.config.cancel_period.as_nanos());
                Some(format!(
                    "deletion of request past the deadline of {} since its creation is not allowed",
                    format_go_duration(period.unwrap_or(i64::MAX))
                ))
            }
            DeleteState::Received => None,
        };
        if let Some(refusal) = refusal {
            return Err(Error::Refused(refusal));
        }
        self.store.remove_delete(request).await?;
        self.progress.lock().remove(&key_of(request));
        self.increase_generation(tenant).await
    }

    /// The number that changes whenever caches of answers about a tenant must be dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn generation(&self, tenant: &TenantId) -> Result<u64, Error> {
        match self.store.bucket().get(&generation_object(tenant)).await {
            Ok(bytes) => Ok(str::from_utf8(&bytes).ok().and_then(|t| t.parse().ok()).unwrap_or(0)),
            Err(store::Error::NotFound { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Changes that number.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn increase_generation(&self, tenant: &TenantId) -> Result<(), Error> {
        let next = self.generation(tenant).await? + 1;
        let object = generation_object(tenant);
        self.store.bucket().replace(&object, next.to_string().into()).await?;
        Ok(())
    }
}

fn generation_object(tenant: &TenantId) -> String {
    format!("del/{tenant}/{GENERATION}")
}
