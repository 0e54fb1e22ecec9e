//! What can go wrong with services and modules.

use std::fmt;
use std::sync::Arc;

use model::ErrorKind;

use crate::service::State;

/// Why a service failed: any error, shared by all who ask.
#[derive(Clone)]
pub struct Failure(Arc<dyn std::error::Error + Send + Sync>);

impl Failure {
    /// The error as it was returned.
    #[must_use]
    pub fn error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        &*self.0
    }

    /// Whether the service only asked for an orderly end of the process.
    #[must_use]
    pub fn is_stop_process(&self) -> bool {
        self.0.is::<StopProcess>()
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(Arc::new(error))
    }
}

/// The error and its causes, as one path.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({self})")
    }
}

/// Returned by a service that has done what the process was started for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("asked to stop the process")]
pub struct StopProcess;

/// What can go wrong with services and modules.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A service can be started once, and a manager takes only services that were not started.
    #[error("service {service} is {state}, expected New")]
    NotNew {
        /// Which service.
        service: Arc<str>,
        /// What it is instead.
        state: State,
    },
    /// A service will never run, or runs no more.
    #[error("service {service} is {state}, expected Running{}", because(.failure.as_ref()))]
    NotRunning {
        /// Which service.
        service: Arc<str>,
        /// What it is instead.
        state: State,
        /// Why it failed, if it did.
        failure: Option<Failure>,
    },
    /// A service ended with a failure.
    #[error("service {service} failed: {failure}")]
    Failed {
        /// Which service.
        service: Arc<str>,
        /// Why.
        failure: Failure,
    },
    /// Some services will never run; each is named with its cause.
    #[error("not healthy: {0}")]
    NotHealthy(String),
    /// A manager needs something to manage.
    #[error("no services to manage")]
    NoServices,
    /// A name that no module has.
    #[error("no such module: {0}")]
    UnknownModule(String),
    /// A module that exists and cannot be chosen.
    #[error("module {0} cannot be a target")]
    NotTargetable(String),
    /// Modules that would wait for each other for ever.
    #[error("module {module} cannot depend on {dependency}, which depends on it")]
    Cycle {
        /// The module that was to get a dependency.
        module: String,
        /// The dependency that leads back to it.
        dependency: String,
    },
    /// A module's part of the process could not be built.
    #[error("init module {module}: {failure}")]
    Init {
        /// Which module.
        module: &'static str,
        /// Why.
        failure: Failure,
    },
}

fn because(failure: Option<&Failure>) -> String {
    failure.map(|failure| format!(": {failure}")).unwrap_or_default()
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRunning { .. } | Self::NotHealthy(_) => ErrorKind::Unavailable,
            Self::NotNew { .. } | Self::NoServices | Self::Cycle { .. } => ErrorKind::Internal,
            Self::UnknownModule(_) | Self::NotTargetable(_) => ErrorKind::Invalid,
            Self::Failed { .. } | Self::Init { .. } => ErrorKind::Internal,
        }
    }
}
