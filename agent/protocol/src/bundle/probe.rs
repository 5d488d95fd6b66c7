//! Probes: what must hold on the appliance while a generation is in probation.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest text of a probe, bytes.
const MAX_TEXT: usize = 200;
/// Port of an HTTP probe that names none.
const HTTP_PORT: u16 = 80;

/// One probe as written in a manifest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// A GET of this `http://` URL on loopback answers 2xx.
    Http(String),
    /// Something accepts connections at this loopback address, `127.0.0.1:8448`.
    Tcp(String),
    /// Something accepts connections at this absolute path.
    Unix(String),
    /// This systemd unit is active.
    Unit(String),
}

/// One probe as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeTarget {
    /// `GET path` at `address`.
    Http {
        /// On loopback.
        address: SocketAddr,
        /// Path and query, from the slash on.
        path: String,
    },
    /// A connection to this loopback address.
    Tcp(SocketAddr),
    /// A connection to this absolute path.
    Unix(String),
    /// This unit.
    Unit(String),
}

/// A text that is no probe.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProbeError {
    /// Another form, or a name instead of an address, or not on the appliance itself.
    #[error("{0:?} is no http:// URL of a loopback address such as \"http://127.0.0.1:8008/health\"")]
    Http(String),
    /// Another form, or not on the appliance itself.
    #[error("{0:?} is no loopback address with a port such as \"127.0.0.1:8448\"")]
    Tcp(String),
    /// Not absolute, or too long for a socket.
    #[error("{0:?} is no absolute path of a socket")]
    Unix(String),
    /// Not a unit's name.
    #[error("{0:?} is no name of a systemd unit such as \"nginx.service\"")]
    Unit(String),
}

impl Probe {
    /// What it asks.
    ///
    /// # Errors
    /// It is malformed, or leads off the appliance.
    pub fn target(&self) -> Result<ProbeTarget, ProbeError> {
        match self {
            Self::Http(url) => http(url).ok_or_else(|| ProbeError::Http(excerpt(url))),
            Self::Tcp(address) => {
                loopback(address).map(ProbeTarget::Tcp).ok_or_else(|| ProbeError::Tcp(excerpt(address)))
            }
            Self::Unix(path) if is_socket_path(path) => Ok(ProbeTarget::Unix(path.clone())),
            Self::Unix(path) => Err(ProbeError::Unix(excerpt(path))),
            Self::Unit(unit) if is_unit(unit) => Ok(ProbeTarget::Unit(unit.clone())),
            Self::Unit(unit) => Err(ProbeError::Unit(excerpt(unit))),
        }
    }
}

/// Whether `text` is a name systemd gives units: `nginx.service`, `app@1.service`.
///
/// # Source
/// systemd.unit(5): at most 255 characters, of which the type is one of a fixed list.
#[must_use]
pub fn is_unit(text: &str) -> bool {
    let types = [".service", ".socket", ".target", ".timer", ".path", ".mount"];
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'@' | b'-' | b':');
    let stem = types.iter().find_map(|kind| text.strip_suffix(kind));
    text.len() <= 255
        && stem.is_some_and(|stem| stem.starts_with(|first: char| first.is_ascii_alphanumeric()))
        && text.bytes().all(allowed)
}

fn http(url: &str) -> Option<ProbeTarget> {
    let rest = url.strip_prefix("http://").filter(|_| url.len() <= MAX_TEXT)?;
    let cut = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(cut);
    let address = loopback(authority).or_else(|| Some(SocketAddr::new(loopback_ip(authority)?, HTTP_PORT)))?;
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let path = if path.is_empty() { "/" } else { path };
    plain.then(|| ProbeTarget::Http { address, path: path.into() })
}

fn loopback(text: &str) -> Option<SocketAddr> {
    let address: SocketAddr = text.parse().ok()?;
    (is_loopback(address.ip()) && address.port() > 0).then_some(address)
}

fn loopback_ip(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ip = match bracketed {
        Some(text) => IpAddr::V6(text.parse().ok()?),
        None => IpAddr::V4(text.parse::<Ipv4Addr>().ok()?),
    };
    is_loopback(ip).then_some(ip)
}

/// Not an IPv4 address written as IPv6: one form for one address.
fn is_loopback(ip: IpAddr) -> bool {
    ip.is_loopback()
}

/// A path that fits into `sockaddr_un`, 108 bytes with its end.
fn is_socket_path(path: &str) -> bool {
    path.starts_with('/')
        && path.len() < 108
        && path.bytes().all(|byte| byte.is_ascii_graphic())
        && path.split('/').all(|component| component != "..")
}

fn excerpt(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<ProbeTarget, ProbeError> {
        Probe::Http(text.into()).target()
    }

    #[test]
    fn an_http_probe_names_a_loopback_address_and_a_path() {
        let at = |text: &str, path: &str| Ok(ProbeTarget::Http { address: text.parse().unwrap(), path: path.into() });
        assert_eq!(url("http://127.0.0.1:8008/health?all=1"), at("127.0.0.1:8008", "/health?all=1"));
        assert_eq!(url("http://[::1]:81"), at("[::1]:81", "/"));
        assert_eq!(url("http://127.0.0.2/x"), at("127.0.0.2:80", "/x"));
        assert_eq!(url("http://[::1]/"), at("[::1]:80", "/"));
    }

    #[test]
    fn no_probe_leads_off_the_appliance_or_through_a_name() {
        for text in [
            "http://localhost/",
            "http://127.0.0.1.example.org/",
            "http://10.0.0.1/",
            "http://127.0.0.1@10.0.0.1/",
            "http://127.0.0.1:80@10.0.0.1/",
            "https://127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://127.0.0.1:80/a b",
            "http://127.0.0.1/\r\nHost: x",
            "http://[::ffff:127.0.0.1]/",
            "http://0.0.0.0/",
            "http://2130706433/",
        ] {
            assert!(url(text).is_err(), "{text}");
        }
        for text in ["10.0.0.1:80", "localhost:80", "127.0.0.1", "127.0.0.1:0", "[::]:80"] {
            assert!(Probe::Tcp(text.into()).target().is_err(), "{text}");
        }
        for text in ["run/x.sock", "/run/../etc/x", "/run/..", "@abstract", "/run/\u{1}"] {
            assert!(Probe::Unix(text.into()).target().is_err(), "{text}");
        }
        for text in ["nginx", "-x.service", ".service", "a b.service", "../a.service", "a.service;b"] {
            assert!(Probe::Unit(text.into()).target().is_err(), "{text}");
        }
        assert!(Probe::Unit("app@1.service".into()).target().is_ok());
    }

    #[test]
    fn a_probe_is_written_under_its_kind() {
        assert_eq!(serde_json::to_string(&Probe::Tcp("127.0.0.1:1".into())).unwrap(), "{\"tcp\":\"127.0.0.1:1\"}");
    }
}
