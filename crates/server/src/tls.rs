//! TLS of listeners: certificates from files, and whether clients must show one.

use std::fs;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::config::ServerTlsConfig;
use crate::listener::Guarded;

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {fault}")]
pub struct TlsError {
    /// The configuration's key.
    pub key: String,
    /// What is wrong.
    pub fault: String,
}

/// How a listener encrypts. Cloning is cheap.
#[derive(Clone)]
pub struct ServerTls(TlsAcceptor);

impl ServerTls {
    /// Reads the files of a block of the configuration; `None` when it names no certificate.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when a file cannot be read or used: do not start, because the listener would
    /// otherwise be open to everybody.
    pub fn load(config: &ServerTlsConfig, block: &str) -> Result<Option<Self>, TlsError> {
        if *config == ServerTlsConfig::default() {
            return Ok(None);
        }
        let fail = |key: &str, fault: String| TlsError { key: format!("{block}.{key}"), fault };
        let read = |key: &str, file: &str| {
            fs::read(file).map_err(|error| fail(key, format!("read {file}: {error}")))
        };
        let chain = certificates(&read("cert_file", &config.cert_file)?)
            .map_err(|fault| fail("cert_file", fault))?;
        let key = PrivateKeyDer::from_pem_slice(&read("key_file", &config.key_file)?)
            .map_err(|error| fail("key_file", error.to_string()))?;
        let builder = ServerConfig::builder();
        let asks = ClientAuth::parse(&config.client_auth_type)
            .map_err(|fault| fail("client_auth_type", fault))?;
        let builder = match asks {
            ClientAuth::None => builder.with_no_client_auth(),
            ClientAuth::IfGiven | ClientAuth::Required => {
                let key = "client_ca_file";
                let mut roots = RootCertStore::empty();
                let authorities = certificates(&read(key, &config.client_ca_file)?);
                for authority in authorities.map_err(|fault| fail(key, fault))? {
                    roots.add(authority).map_err(|error| fail(key, error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder(Arc::new(roots));
                let verifier = if asks == ClientAuth::IfGiven {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier = verifier.build().map_err(|error| fail(key, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut server = builder
            .with_single_cert(chain, key)
            .map_err(|error| fail("cert_file", error.to_string()))?;
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Some(Self(TlsAcceptor::from(Arc::new(server)))))
    }

    /// Makes an accepted connection an encrypted one.
    ///
    /// # Errors
    ///
    /// When the client does not speak TLS, or shows no certificate where one is asked for.
    pub async fn accept(&self, stream: Guarded<TcpStream>) -> io::Result<Accepted> {
        let accepted = self.0.accept(stream).await?;
        Ok(Accepted::Encrypted(Box::new(accepted)))
    }
}

/// Whether clients must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// They need not, and it is not looked at.
    None,
    /// If they do it must be valid.
    IfGiven,
    /// They must.
    Required,
}

impl ClientAuth {
    /// Reads a value of `client_auth_type`.
    ///
    /// # Errors
    ///
    /// What to write instead. The kinds that ask for a certificate without checking it protect
    /// nothing and are refused.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "NoClientCert" => Ok(Self::None),
            "VerifyClientCertIfGiven" => Ok(Self::IfGiven),
            "RequireAndVerifyClientCert" => Ok(Self::Required),
            other => Err(format!(
                "{other:?} is not one of NoClientCert, VerifyClientCertIfGiven, \
                 RequireAndVerifyClientCert"
            )),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if found.is_empty() => Err("there is no certificate in the file".to_owned()),
        Ok(found) => Ok(found),
        Err(error) => Err(error.to_string()),
    }
}

/// A connection, in clear or encrypted.
pub enum Accepted {
    /// In clear.
    Plain(TcpStream),
    /// Encrypted.
    Encrypted(Box<TlsStream<Guarded<TcpStream>>>),
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Encrypted(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Encrypted(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Encrypted(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Encrypted(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_protect_nothing_are_refused() {
        assert_eq!(ClientAuth::parse(""), Ok(ClientAuth::None));
        assert_eq!(ClientAuth::parse("RequireAndVerifyClientCert"), Ok(ClientAuth::Required));
        assert!(ClientAuth::parse("RequireAnyClientCert").is_err());
    }

    #[test]
    fn a_block_without_its_files_does_not_start() {
        let none = ServerTls::load(&ServerTlsConfig::default(), "server.http_tls_config");
        assert!(matches!(none, Ok(None)));
        let half = ServerTlsConfig { cert_file: "no such file".to_owned(), ..Default::default() };
        let error = ServerTls::load(&half, "server.http_tls_config").err().unwrap();
        assert!(error.to_string().starts_with("server.http_tls_config.cert_file: read"), "{error}");
    }
}
