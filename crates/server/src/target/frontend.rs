//! Module `query-path`: queries on their way to queriers, of this process or of others.

use std::sync::Arc;
use std::time::Duration;

use frontend::cache::{
    EmbeddedCache, MemcachedCache, MemcachedConfig, RedisCache, RedisConfig, ResultCache,
};
use frontend::queue::QueueConfig;
use frontend::{Config, Dependencies, Executor, Frontend, Gate};
use rpc::Pool;
use runtime::service::Service;
use runtime::{Failure, task};

use crate::app::App;
use crate::config::{Memcached, Problem, QueryRange};
use crate::limits::{self, RoleLimits};
use crate::local::LocalExecutor;
use crate::remote::cluster::pool;
use crate::remote::scheduler::{RemoteExecutor, serve};

/// Megabytes, as the cache's size is given.
const MEGABYTE: u64 = 1 << 20;
/// Where memcached listens unless told otherwise.
const MEMCACHED_PORT: u16 = 11211;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let metrics = app.query_path_metrics();
    let is_remote = !app.config.frontend.scheduler_addresses.is_empty();
    if !is_remote && !app.routes().serves("querier") {
        let fault = "this process runs no querier: name the gRPC addresses of query schedulers, as \
                     host:port";
        let (key, fault) = ("frontend.scheduler_address".to_owned(), fault.to_owned());
        return Err(Problem { key, fault }.into());
    }
    let app = Arc::clone(app);
    let service = Service::builder("query-path").starting(move |_| async move {
        let queue = QueueConfig {
            max_outstanding_per_tenant: app.config.frontend.max_outstanding_per_tenant,
            ..QueueConfig::default()
        };
        let clock = Arc::clone(&app.clock);
        let places = app.config.querier.max_concurrent;
        let gate = Gate::new(places, queue, Arc::clone(&clock), metrics.clone());
        app.parts.gate.fill(Arc::clone(&gate));
        let local = Arc::new(LocalExecutor::new(Arc::clone(&app), gate));
        let pool = pool(&app)?;
        let executor: Arc<dyn Executor> = if is_remote {
            let addresses = &app.config.frontend.scheduler_addresses;
            Arc::new(RemoteExecutor::connect(addresses, &pool).map_err(|error| Problem {
                key: "frontend.scheduler_address".to_owned(),
                fault: error.to_string(),
            })?)
        } else {
            Arc::clone(&local) as Arc<dyn Executor>
        };
        let query_memory = app.config.querier.query_memory.0;
        let translate = move |limits: &_| limits::frontend(limits, query_memory);
        let dependencies = Dependencies {
            executor,
            cache: cache(&app)?,
            limits: Arc::new(RoleLimits::new(Arc::clone(&app.overrides), translate)),
            clock,
            metrics,
        };
        app.parts.frontend.fill(Frontend::new(translate_config(&app, is_remote), dependencies));
        if app.routes().serves("querier") {
            work_for_schedulers(&app, &pool, &local)?;
        }
        Ok(())
    });
    Ok(service.build())
}

/// Takes tasks from schedulers, for as long as the process lives.
fn work_for_schedulers(
    app: &Arc<App>,
    pool: &Arc<Pool>,
    executor: &Arc<LocalExecutor>,
) -> Result<(), Failure> {
    let slots = u32::try_from(app.config.querier.max_concurrent).unwrap_or(u32::MAX);
    for address in &app.config.worker_scheduler_addresses {
        let peer = pool.peer(address).map_err(|error| Problem {
            key: "frontend_worker.scheduler_address".to_owned(),
            fault: error.to_string(),
        })?;
        let executor = Arc::clone(executor) as Arc<dyn Executor>;
        let work = serve(address.clone(), peer, slots, executor, Arc::clone(&app.clock));
        let stop = app.stop.clone();
        drop(task::spawn("query worker", async move {
            tokio::select! {
                () = stop.requested() => {}
                () = work => {}
            }
        }));
    }
    Ok(())
}

fn translate_config(app: &App, is_remote: bool) -> Config {
    let QueryRange { align_queries_with_step, max_retries, parallelise_shardable_queries, .. } =
        app.config.query_range;
    let defaults = Config::default();
    Config {
        // The querier of this process uses every core for one query.
        splits: is_remote,
        shards_max: if parallelise_shardable_queries { defaults.shards_max } else { 1 },
        max_retries,
        aligns_with_step: align_queries_with_step,
        ..defaults
    }
}

/// Where answers are kept: Redis or memcached where one is named, else memory.
fn cache(app: &App) -> Result<Option<Arc<dyn ResultCache>>, Failure> {
    let config = &app.config.query_range;
    if !config.cache_results {
        return Ok(None);
    }
    let cache = &config.cache;
    let expiration = |own: Duration| if own.is_zero() { cache.default_validity } else { own };
    if !cache.redis.endpoint.is_empty() {
        let redis = RedisConfig {
            endpoint: cache.redis.endpoint.clone(),
            username: cache.redis.username.clone(),
            password: cache.redis.password.clone(),
            db: cache.redis.db,
            timeout: cache.redis.timeout,
            expiration: expiration(cache.redis.expiration),
        };
        let redis = RedisCache::new(redis, Arc::clone(&app.clock))?;
        return Ok(Some(Arc::new(redis)));
    }
    let addresses = addresses(&cache.memcached);
    if !addresses.is_empty() {
        let defaults = MemcachedConfig::default();
        let memcached = MemcachedConfig {
            addresses,
            timeout: cache.memcached.timeout,
            expiration: expiration(cache.memcached_expiration),
            max_connections: cache.memcached.max_idle_conns,
            max_item_bytes: match cache.memcached.max_item_size {
                0 => defaults.max_item_bytes,
                bytes => bytes,
            },
        };
        return Ok(Some(Arc::new(MemcachedCache::new(memcached, Arc::clone(&app.clock)))));
    }
    let bytes = cache.embedded_max_size_mb.saturating_mul(MEGABYTE);
    Ok(Some(Arc::new(EmbeddedCache::new(bytes))))
}

/// The servers of memcached as `host:port`. Names are looked up whenever a connection is made, so
/// that Loki's prefixes for that say nothing.
fn addresses(memcached: &Memcached) -> Vec<String> {
    let named = memcached.addresses.iter().map(String::as_str).chain([memcached.host.as_str()]);
    let address = |name: &str| {
        let name = name.split_once('+').map_or(name, |(_, rest)| rest);
        match name.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => name.to_owned(),
            _ => format!("{name}:{MEMCACHED_PORT}"),
        }
    };
    named.filter(|name| !name.is_empty()).map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_in_several_ways() {
        let mut memcached = QueryRange::default().cache.memcached;
        assert_eq!(addresses(&memcached), Vec::<String>::new());
        memcached.host = "cache".to_owned();
        memcached.addresses = vec!["dns+one:1234".to_owned(), "two".to_owned()];
        assert_eq!(addresses(&memcached), ["one:1234", "two:11211", "cache:11211"]);
    }
}
