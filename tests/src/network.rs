//! Zones in networks of their own, which can be cut from one another.
//!
//! Each zone is a network namespace with one address, joined to the others and to the tests by a
//! bridge. A zone that is cut sends to the others what nobody takes: nothing is refused and nothing is
//! answered, as on a line that is down. The tests still reach every zone.

use std::process::Command;

/// Nobody has this hardware address.
const NOBODY: &str = "02:00:00:00:00:fe";

/// Zones of one machine; they vanish when this is dropped.
pub struct Zones {
    name: String,
    /// The first three parts of all addresses, of the span that is kept for tests (RFC 2544).
    network: String,
    count: usize,
}

impl Zones {
    /// Makes so many zones.
    ///
    /// # Errors
    ///
    /// Why this machine does not allow it, in words.
    pub fn new(count: usize) -> Result<Self, String> {
        let process = std::process::id();
        let network = format!("198.{}.{}", 18 + process / 256 % 2, process % 256);
        let zones = Self { name: format!("sy{process}"), network, count };
        let bridge = zones.bridge();
        ip(&["link", "add", &bridge, "type", "bridge"])?;
        ip(&["address", "add", &format!("{}/24", zones.gateway()), "dev", &bridge])?;
        ip(&["link", "set", &bridge, "up"])?;
        for zone in 1..=count {
            let (space, line) = (zones.space(zone), format!("{}l{zone}", zones.name));
            let address = format!("{}/24", zones.address(zone));
            ip(&["netns", "add", &space])?;
            ip(&["link", "add", &line, "type", "veth", "peer", "name", "eth0", "netns", &space])?;
            ip(&["link", "set", &line, "master", &bridge, "up"])?;
            ip(&["-n", &space, "address", "add", &address, "dev", "eth0"])?;
            ip(&["-n", &space, "link", "set", "eth0", "up"])?;
            ip(&["-n", &space, "link", "set", "lo", "up"])?;
        }
        Ok(zones)
    }

    /// The address of a zone; zones are numbered from 1.
    #[must_use]
    pub fn address(&self, zone: usize) -> String {
        format!("{}.{zone}", self.network)
    }

    /// The address of the tests, as zones reach it.
    #[must_use]
    pub fn gateway(&self) -> String {
        format!("{}.254", self.network)
    }

    /// A command line that runs a program in a zone, put in front of it.
    #[must_use]
    pub fn wrapper(&self, zone: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(zone)].map(str::to_owned).to_vec()
    }

    /// Cuts a zone from all others, or joins it to them again.
    ///
    /// # Panics
    ///
    /// When the system refuses.
    pub fn set_cut(&self, zone: usize, is_cut: bool) {
        for other in (1..=self.count).filter(|other| *other != zone) {
            for (from, to) in [(zone, other), (other, zone)] {
                let (space, to) = (self.space(from), self.address(to));
                let mut line = vec!["-n", &space, "neighbour"];
                let hardware = ["lladdr", NOBODY, "nud", "permanent"];
                if is_cut {
                    line.extend(["replace", &to, "dev", "eth0"].iter().chain(&hardware));
                } else {
                    line.extend(["delete", &to, "dev", "eth0"]);
                }
                if let Err(error) = ip(&line) {
                    panic!("{error}");
                }
            }
        }
    }

    fn bridge(&self) -> String {
        format!("{}b", self.name)
    }

    fn space(&self, zone: usize) -> String {
        format!("{}z{zone}", self.name)
    }
}

impl Drop for Zones {
    fn drop(&mut self) {
        // What was never made cannot be removed; a line goes with its namespace.
        for zone in 1..=self.count {
            let _ = ip(&["netns", "delete", &self.space(zone)]);
        }
        let _ = ip(&["link", "delete", &self.bridge()]);
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| format!("ip {}: {error}", arguments.join(" "));
    let output = Command::new("ip").args(arguments).output().map_err(|error| told(&error))?;
    if output.status.success() {
        return Ok(());
    }
    Err(told(&String::from_utf8_lossy(&output.stderr).trim()))
}
