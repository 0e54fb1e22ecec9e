//! How queries are run in this process.

/// Settings of the querier, the same for all tenants.
#[derive(Debug, Clone)]
pub struct Config {
    /// Queries that run at once (`querier.max_concurrent`). More lets small queries pass large
    /// ones, and costs memory.
    pub max_concurrent: usize,
    /// Queries that may wait for their turn (`frontend.max_outstanding_per_tenant`); further ones
    /// are refused with 429.
    pub max_waiting: usize,
    /// Threads that one query may use at once.
    pub threads_per_query: usize,
    /// What happens when a segment cannot be read.
    pub unreadable: Unreadable,
    /// Whether one request may read several tenants (`querier.multi_tenant_queries_enabled`).
    pub multi_tenant: bool,
    /// Whether patterns are mined from lines (`pattern_ingester.enabled`).
    pub patterns: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_concurrent: 4,
            max_waiting: 2048,
            threads_per_query: 2,
            unreadable: Unreadable::Fail,
            multi_tenant: false,
            patterns: false,
        }
    }
}

/// What happens when a segment cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unreadable {
    /// The query fails: an answer is complete or none.
    #[default]
    Fail,
    /// The query answers with what can be read, and a warning names what is missing.
    Warn,
}
