//! The address of an engine, and the head that every request to it carries.

use std::net::{SocketAddr, ToSocketAddrs};

use hyper::header::HeaderValue;
use thiserror::Error;

use super::transport::Tls;

/// Why a target cannot be used.
#[derive(Debug, Error)]
pub enum TargetError {
    /// The text is no URL of the form `http[s]://host[:port][/path]`.
    #[error("'{url}' is not a URL of the form http://host:port or https://host:port")]
    NotHttp {
        /// The text as given.
        url: String,
    },
    /// Nothing can be encrypted for this host.
    #[error("{url} cannot be asked over https: {reason}")]
    Tls {
        /// The text as given.
        url: String,
        /// Why not.
        reason: String,
    },
    /// The key holds characters that a header cannot carry.
    #[error("the API key holds characters that a header cannot carry")]
    Key,
    /// The host has no address.
    #[error("host '{host}' cannot be resolved: {source}")]
    Resolve {
        /// The host as given.
        host: String,
        /// The resolver's answer.
        source: std::io::Error,
    },
    /// The resolver knows the host, but gave no address.
    #[error("host '{host}' has no address")]
    NoAddress {
        /// The host as given.
        host: String,
    },
}

/// The address of an engine.
#[derive(Debug, Clone)]
pub struct Target {
    host: String,
    port: u16,
    base_path: String,
    /// Where it is asked over https.
    tls: Option<Tls>,
    /// `Bearer …`; marked sensitive, so that it is never shown.
    authorization: Option<HeaderValue>,
}

impl Target {
    /// An engine on this host at `port`.
    pub fn local(port: u16) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port,
            base_path: String::new(),
            tls: None,
            authorization: None,
        }
    }

    /// An engine at a base URL (without `/v1`).
    ///
    /// # Errors
    /// [`TargetError::NotHttp`] for anything but http and https, [`TargetError::Tls`].
    pub fn from_url(url: &str) -> Result<Self, TargetError> {
        let refuse = || TargetError::NotHttp {
            url: url.to_owned(),
        };
        let parsed: hyper::Uri = url.parse().map_err(|_| refuse())?;
        let encrypted = match parsed.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refuse()),
        };
        if parsed.query().is_some() {
            return Err(refuse());
        }
        let host = parsed.host().ok_or_else(refuse)?.to_owned();
        let tls = encrypted
            .then(|| Tls::new(bare(&host)))
            .transpose()
            .map_err(|reason| TargetError::Tls {
                url: url.to_owned(),
                reason,
            })?;
        let port = parsed
            .port_u16()
            .unwrap_or(if encrypted { 443 } else { 80 });
        let base_path = parsed.path().trim_end_matches('/').to_owned();
        Ok(Self {
            host,
            port,
            base_path,
            tls,
            authorization: None,
        })
    }

    /// The same engine, asked with an API key.
    ///
    /// # Errors
    /// [`TargetError::Key`] when a header cannot carry the key.
    pub fn with_key(mut self, key: &str) -> Result<Self, TargetError> {
        let mut value =
            HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| TargetError::Key)?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    /// `host:port`, as the `host` header carries it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The path of an endpoint under the base path; `path` begins with `/`.
    pub fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base_path)
    }

    /// The whole URL of a path under the base path.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority(), self.path(path))
    }

    /// What an encrypted connection needs, where it is asked over https.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// The key's header, where there is one.
    pub fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// The first address of the host. It blocks while the name is looked up, so it is called before the clock matters.
    ///
    /// # Errors
    /// [`TargetError::Resolve`] and [`TargetError::NoAddress`].
    pub fn resolve(&self) -> Result<SocketAddr, TargetError> {
        (bare(&self.host), self.port)
            .to_socket_addrs()
            .map_err(|source| TargetError::Resolve {
                host: self.host.clone(),
                source,
            })?
            .next()
            .ok_or_else(|| TargetError::NoAddress {
                host: self.host.clone(),
            })
    }
}

/// An address of IPv6 without its brackets.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let target = Target::from_url("http://engine.test:8000/proxy/").expect("a URL");
        assert_eq!(target.authority(), "engine.test:8000");
        assert_eq!(target.path("/v1/models"), "/proxy/v1/models");
        assert_eq!(
            Target::from_url("http://h").expect("a URL").authority(),
            "h:80"
        );
        let local = Target::from_url("http://[::1]:9").expect("a URL");
        assert_eq!(
            local.resolve().expect("an address"),
            "[::1]:9".parse().expect("an address")
        );
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused() {
        for url in ["h:1", "", "http://", "ftp://h", "http://h?x=1"] {
            assert!(Target::from_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_key_is_never_shown() {
        let target = Target::local(1).with_key("hush-hush").expect("a key");
        assert!(!format!("{target:?}").contains("hush"));
        assert!(Target::local(1).with_key("a\nb").is_err());
    }
}
