//! From configuration to a connection.

use std::sync::Arc;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{Attribute, Attributes, Certificate, ClientOptions, RetryConfig};

use crate::bucket::remote::Connection;
use crate::config::{AzureConfig, BackoffConfig, GcsConfig, HttpConfig, S3Config};
use crate::error::Error;

pub(crate) fn s3(config: &S3Config) -> Result<Connection, Error> {
    let config = with_url(config)?;
    let bucket = config.bucketnames.split(',').next().unwrap_or("").trim();
    if bucket.is_empty() {
        return Err(problem("s3.bucketnames is empty"));
    }
    // Without keys, credentials come from the process's environment or the instance.
    let builder = match non_empty(&config.access_key_id) {
        Some(_) => AmazonS3Builder::new(),
        None => AmazonS3Builder::from_env(),
    };
    let mut builder = builder
        .with_bucket_name(bucket)
        .with_virtual_hosted_style_request(!config.s3forcepathstyle)
        .with_retry(retry(&config.backoff));
    // Without a region here, the environment's holds; without either, `us-east-1`.
    if let Some(region) = non_empty(&config.region) {
        builder = builder.with_region(region);
    }
    if let Some(endpoint) = non_empty(&config.endpoint) {
        let url = endpoint_url(endpoint, config.insecure);
        builder = builder.with_endpoint(if config.s3forcepathstyle {
            url
        } else {
            host_style(&url, bucket)
        });
    }
    if let Some(id) = non_empty(&config.access_key_id) {
        builder = builder
            .with_access_key_id(id)
            .with_secret_access_key(config.secret_access_key.as_str());
        if let Some(token) = non_empty(&config.session_token) {
            builder = builder.with_token(token);
        }
    }
    builder = match config.sse_type.as_str() {
        "" => builder,
        "SSE-S3" => builder.with_config(encryption("aws_server_side_encryption")?, "AES256"),
        "SSE-KMS" => builder.with_sse_kms_encryption(config.sse_kms_key_id.as_str()),
        other => {
            return Err(problem(format!("s3.sse.type {other:?} is neither SSE-S3 nor SSE-KMS")));
        }
    };
    let mut attributes = Attributes::new();
    if let Some(class) = non_empty(&config.storage_class).filter(|class| *class != "STANDARD") {
        attributes.insert(Attribute::StorageClass, class.to_owned().into());
    }
    let insecure = config.insecure || config.endpoint.starts_with("http://");
    let Clients { reads, writes } = clients(&config.http, insecure)?;
    let reads = builder.clone().with_client_options(reads).build().map_err(refused)?;
    let writes = builder.with_client_options(writes).build().map_err(refused)?;
    Ok(Connection { reads: Arc::new(reads), writes: Arc::new(writes), attributes })
}

pub(crate) fn gcs(config: &GcsConfig) -> Result<Connection, Error> {
    if config.bucket_name.is_empty() {
        return Err(problem("gcs.bucket_name is empty"));
    }
    let insecure = config.endpoint.starts_with("http://");
    let builder = match non_empty(&config.service_account) {
        Some(_) => GoogleCloudStorageBuilder::new(),
        None => GoogleCloudStorageBuilder::from_env(),
    };
    let mut builder =
        builder.with_bucket_name(config.bucket_name.as_str()).with_retry(retry(&config.backoff));
    if let Some(key) = non_empty(&config.service_account) {
        builder = builder.with_service_account_key(key);
    }
    if let Some(endpoint) = non_empty(&config.endpoint) {
        builder = builder.with_base_url(endpoint).with_skip_signature(true);
    }
    let Clients { reads, writes } = clients(&config.http, insecure)?;
    let reads = builder.clone().with_client_options(reads).build().map_err(refused)?;
    let writes = builder.with_client_options(writes).build().map_err(refused)?;
    Ok(Connection {
        reads: Arc::new(reads),
        writes: Arc::new(writes),
        attributes: Attributes::new(),
    })
}

pub(crate) fn azure(config: &AzureConfig) -> Result<Connection, Error> {
    let parts = ConnectionString::parse(&config.connection_string);
    let account = non_empty(&config.account_name)
        .or(parts.get("AccountName"))
        .ok_or_else(|| problem("azure.account_name is empty"))?;
    if config.container_name.is_empty() {
        return Err(problem("azure.container_name is empty"));
    }
    let endpoint = azure_endpoint(config, &parts, account);
    let insecure = endpoint.as_ref().is_some_and(|url| url.starts_with("http://"));
    let key = non_empty(&config.account_key).or(parts.get("AccountKey"));
    let builder = match key {
        Some(_) => MicrosoftAzureBuilder::new(),
        None => MicrosoftAzureBuilder::from_env(),
    };
    let mut builder = builder
        .with_account(account)
        .with_container_name(config.container_name.as_str())
        .with_retry(retry(&config.backoff));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder = if let Some(key) = key {
        builder.with_access_key(key)
    } else if config.use_service_principal {
        let (id, secret) = (config.client_id.as_str(), config.client_secret.as_str());
        builder.with_client_secret_authorization(id, secret, config.tenant_id.as_str())
    } else if let Some(file) = non_empty(&config.federated_token_file) {
        builder
            .with_federated_token_file(file)
            .with_client_id(config.client_id.as_str())
            .with_tenant_id(config.tenant_id.as_str())
    } else if let Some(id) = non_empty(&config.user_assigned_id) {
        builder.with_config(AzureConfigKey::ClientId, id)
    } else {
        builder
    };
    let Clients { reads, writes } = clients(&config.http, insecure)?;
    let reads = builder.clone().with_client_options(reads).build().map_err(refused)?;
    let writes = builder.with_client_options(writes).build().map_err(refused)?;
    Ok(Connection {
        reads: Arc::new(reads),
        writes: Arc::new(writes),
        attributes: Attributes::new(),
    })
}

fn azure_endpoint(
    config: &AzureConfig,
    parts: &ConnectionString<'_>,
    account: &str,
) -> Option<String> {
    if let Some(endpoint) = parts.get("BlobEndpoint") {
        return Some(endpoint.trim_end_matches('/').to_owned());
    }
    let suffix = non_empty(&config.endpoint_suffix).or(parts.get("EndpointSuffix"))?;
    if suffix.contains("://") {
        return Some(suffix.trim_end_matches('/').to_owned());
    }
    let host = if suffix.contains("blob.") { suffix.to_owned() } else { format!("blob.{suffix}") };
    Some(format!("https://{account}.{host}"))
}

/// `Key=value;Key=value` as Azure's portal shows it; values may hold `=`.
struct ConnectionString<'a>(Vec<(&'a str, &'a str)>);

impl<'a> ConnectionString<'a> {
    fn parse(text: &'a str) -> Self {
        Self(text.split(';').filter_map(|part| part.split_once('=')).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
    }
}

/// The configuration with the parts of its URL filled in.
fn with_url(config: &S3Config) -> Result<S3Config, Error> {
    let mut config = config.clone();
    let Some(url) = non_empty(&config.s3).map(str::to_owned) else { return Ok(config) };
    let rest = url.split_once("://").map(|(_, rest)| rest);
    let rest = rest.ok_or_else(|| problem(format!("s3.s3 {url:?} is not a URL")))?;
    let (authority, bucket) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, host) = match authority.rsplit_once('@') {
        Some((credentials, host)) => (Some(credentials), host),
        None => (None, authority),
    };
    let fill = |field: &mut String, value: &str| {
        if field.is_empty() {
            *field = value.to_owned();
        }
    };
    if let Some((id, secret)) = credentials.and_then(|both| both.split_once(':')) {
        fill(&mut config.access_key_id, &percent_decode(id));
        fill(&mut config.secret_access_key, &percent_decode(secret));
    }
    fill(&mut config.bucketnames, bucket.trim_end_matches('/'));
    // A region has neither a dot nor a port.
    if host.contains(['.', ':']) {
        fill(&mut config.endpoint, host);
    } else if !host.is_empty() {
        fill(&mut config.region, host);
    }
    Ok(config)
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let hex = text.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn endpoint_url(endpoint: &str, insecure: bool) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.contains("://") {
        return endpoint.to_owned();
    }
    let scheme = if insecure { "http" } else { "https" };
    format!("{scheme}://{endpoint}")
}

/// The URL with the bucket in front of the host, as `object_store` wants it for that style.
fn host_style(url: &str, bucket: &str) -> String {
    match url.split_once("://") {
        Some((scheme, host)) if !host.starts_with(&format!("{bucket}.")) => {
            format!("{scheme}://{bucket}.{host}")
        }
        _ => url.to_owned(),
    }
}

/// How the two kinds of requests are sent.
struct Clients {
    reads: ClientOptions,
    writes: ClientOptions,
}

fn clients(http: &HttpConfig, insecure: bool) -> Result<Clients, Error> {
    let writes = client(http, insecure)?;
    let reads = match http.read_timeout {
        none if none.is_zero() => writes.clone(),
        limit => writes.clone().with_read_timeout(limit),
    };
    Ok(Clients { reads, writes })
}

fn client(http: &HttpConfig, insecure: bool) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::new()
        .with_timeout(http.request_timeout)
        .with_connect_timeout(http.connect_timeout)
        .with_pool_idle_timeout(http.idle_conn_timeout)
        .with_allow_invalid_certificates(http.insecure_skip_verify)
        .with_allow_http(insecure);
    if !http.ca_file.as_os_str().is_empty() {
        let file = http.ca_file.display().to_string();
        let pem = std::fs::read(&http.ca_file)
            .map_err(|error| problem(format!("http_config.ca_file {file}: {error}")))?;
        for certificate in Certificate::from_pem_bundle(&pem).map_err(refused)? {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

fn retry(backoff: &BackoffConfig) -> RetryConfig {
    RetryConfig {
        backoff: object_store::BackoffConfig {
            init_backoff: backoff.min_period,
            max_backoff: backoff.max_period,
            base: 2.0,
        },
        max_retries: backoff.max_retries,
        ..RetryConfig::default()
    }
}

fn encryption(key: &str) -> Result<AmazonS3ConfigKey, Error> {
    key.parse().map_err(refused)
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn problem(message: impl Into<String>) -> Error {
    Error::Config { message: message.into() }
}

fn refused(error: object_store::Error) -> Error {
    problem(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_url(url: &str) -> S3Config {
        with_url(&S3Config { s3: url.into(), ..S3Config::default() }).unwrap()
    }

    #[test]
    fn urls_hold_key_region_and_bucket() {
        let config = from_url("s3://key:se%2Fcret@eu-west-1/logs");
        assert_eq!(config.access_key_id, "key");
        assert_eq!(config.secret_access_key, "se/cret");
        assert_eq!((config.region.as_str(), config.endpoint.as_str()), ("eu-west-1", ""));
        assert_eq!(config.bucketnames, "logs");
    }

    #[test]
    fn urls_hold_an_endpoint_when_the_host_is_no_region() {
        let config = from_url("s3://key:secret@minio.local:9000/logs");
        assert_eq!(config.endpoint, "minio.local:9000");
        assert_eq!(from_url("s3:///logs").endpoint, "");
        assert!(with_url(&S3Config { s3: "nothing".into(), ..S3Config::default() }).is_err());
    }

    #[test]
    fn connections_are_made_without_a_network() {
        let plain = S3Config {
            bucketnames: "logs".into(),
            endpoint: "127.0.0.1:9000".into(),
            insecure: true,
            s3forcepathstyle: true,
            access_key_id: "id".into(),
            secret_access_key: "secret".into(),
            storage_class: "STANDARD_IA".into(),
            sse_type: "SSE-S3".into(),
            ..S3Config::default()
        };
        provider();
        assert!(s3(&plain).is_ok());
        assert!(s3(&S3Config { bucketnames: String::new(), ..plain.clone() }).is_err());
        assert!(s3(&S3Config { sse_type: "rot13".into(), ..plain }).is_err());
        assert!(gcs(&GcsConfig::default()).is_err());
        let connection = "AccountName=acc;AccountKey=a2V5;EndpointSuffix=core.windows.net";
        let config = AzureConfig {
            connection_string: connection.into(),
            container_name: "logs".into(),
            ..AzureConfig::default()
        };
        assert!(azure(&config).is_ok());
        let parts = ConnectionString::parse(connection);
        let endpoint = azure_endpoint(&config, &parts, "acc");
        assert_eq!(endpoint.as_deref(), Some("https://acc.blob.core.windows.net"));
    }

    /// As the server does at its start.
    fn provider() {
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }

    #[test]
    fn endpoints_become_urls() {
        assert_eq!(endpoint_url("h:1/", true), "http://h:1");
        assert_eq!(endpoint_url("h", false), "https://h");
        assert_eq!(endpoint_url("http://h", false), "http://h");
        assert_eq!(host_style("https://h", "b"), "https://b.h");
        assert_eq!(host_style("https://b.h", "b"), "https://b.h");
    }
}
