//! Addresses of processes: as people write them, and as others can reach them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{UdpSocket, lookup_host};

use super::failed;
use crate::Error;

/// The port that is meant when none is written.
pub(super) const DEFAULT_PORT: u16 = 7946;

/// A member to join as `host:port`.
pub(super) fn of_member(text: &str) -> Result<String, Error> {
    let refused = |reason| Error::Config(format!("gossip member {text:?} {reason}"));
    let host = match text.split_once('+') {
        Some(("dns", host)) => host,
        Some(_) => return Err(refused("is looked up in a way that is not supported; use dns+")),
        None => text,
    };
    if host.is_empty() {
        return Err(refused("has no host"));
    }
    Ok(with_port(host, DEFAULT_PORT))
}

/// `host` as it is when it has a port, else with `port`.
fn with_port(host: &str, port: u16) -> String {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return SocketAddr::new(ip, port).to_string();
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, digits)| digits.parse::<u16>().is_ok());
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

/// Where others reach a process that listens at `local`.
pub(super) async fn advertised(
    configured: Option<&str>,
    local: SocketAddr,
    seeds: &[String],
) -> Result<SocketAddr, Error> {
    if let Some(configured) = configured {
        let host = with_port(configured, local.port());
        let mut found = lookup_host(&host).await.map_err(failed)?;
        return found.next().ok_or_else(|| failed(format!("{host} has no address")));
    }
    if !local.ip().is_unspecified() {
        return Ok(local);
    }
    // The address with which this machine would speak to the others. Nothing is sent.
    for seed in seeds {
        let Ok(mut found) = lookup_host(seed).await else { continue };
        let Some(remote) = found.find(|found| found.is_ipv4() == local.is_ipv4()) else { continue };
        let unspecified = SocketAddr::new(local.ip(), 0);
        let Ok(probe) = UdpSocket::bind(unspecified).await else { continue };
        if probe.connect(remote).await.is_ok()
            && let Ok(own) = probe.local_addr()
        {
            return Ok(SocketAddr::new(own.ip(), local.port()));
        }
    }
    Ok(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), local.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_hosts_with_a_port() {
        for (text, member) in [
            ("10.0.0.1", "10.0.0.1:7946"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            ("::1", "[::1]:7946"),
            ("[::1]:7", "[::1]:7"),
            ("ring.example", "ring.example:7946"),
            ("dns+ring.example:7", "ring.example:7"),
        ] {
            assert_eq!(of_member(text).unwrap(), member);
        }
        assert!(of_member("dnssrv+ring").is_err() && of_member("").is_err());
    }

    #[tokio::test]
    async fn an_address_that_others_can_use_is_found() {
        let anywhere: SocketAddr = "0.0.0.0:7946".parse().unwrap();
        let here: SocketAddr = "127.0.0.1:7946".parse().unwrap();
        let seeds = ["127.0.0.1:7000".to_owned()];
        assert_eq!(advertised(None, here, &[]).await.unwrap(), here);
        assert_eq!(advertised(None, anywhere, &seeds).await.unwrap(), here);
        let configured = advertised(Some("127.0.0.2"), anywhere, &seeds).await.unwrap();
        assert_eq!(configured, "127.0.0.2:7946".parse().unwrap());
    }
}
