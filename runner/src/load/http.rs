//! Single requests that no stamp hangs on: health, counters, `/tokenize`. They run on the caller's runtime, never on the request thread.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;

use super::target::Target;

/// Why a single request brought no answer. Any status is an answer.
#[derive(Debug, Error)]
pub enum HttpError {
    /// No connection could be opened.
    #[error("cannot connect to {authority}: {source}")]
    Connect {
        /// `host:port`.
        authority: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The request cannot be written down.
    #[error("path '{path}' cannot stand in a request: {source}")]
    Request {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        source: hyper::http::Error,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("{authority} does not answer over HTTP: {source}")]
    Http {
        /// `host:port`.
        authority: String,
        /// What happened.
        source: hyper::Error,
    },
    /// The answer did not come in time.
    #[error("{authority} has not answered within {limit:?}")]
    Timeout {
        /// `host:port`.
        authority: String,
        /// The time it had.
        limit: Duration,
    },
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpAnswer {
    /// The status.
    pub status: u16,
    /// The whole body.
    pub body: Bytes,
}

/// Asks for a path under the target's base path.
///
/// # Errors
/// [`HttpError`].
pub async fn get(target: &Target, path: &str, limit: Duration) -> Result<HttpAnswer, HttpError> {
    ask(target, Method::GET, path, Bytes::new(), limit).await
}

/// Posts JSON to a path under the target's base path.
///
/// # Errors
/// [`HttpError`].
pub async fn post_json(
    target: &Target,
    path: &str,
    json: Bytes,
    limit: Duration,
) -> Result<HttpAnswer, HttpError> {
    ask(target, Method::POST, path, json, limit).await
}

async fn ask(
    target: &Target,
    method: Method,
    path: &str,
    body: Bytes,
    limit: Duration,
) -> Result<HttpAnswer, HttpError> {
    let mut request = Request::builder()
        .method(method)
        .uri(target.path(path))
        .header(HOST, target.authority())
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body(Full::new(body))
        .map_err(|source| HttpError::Request {
            path: path.to_owned(),
            source,
        })?;
    if let Some(key) = target.authorization() {
        request.headers_mut().insert(AUTHORIZATION, key.clone());
    }
    tokio::time::timeout(limit, exchange(target, request))
        .await
        .unwrap_or_else(|_| {
            Err(HttpError::Timeout {
                authority: target.authority(),
                limit,
            })
        })
}

async fn exchange(target: &Target, request: Request<Full<Bytes>>) -> Result<HttpAnswer, HttpError> {
    let authority = target.authority();
    let stream = TcpStream::connect(&authority)
        .await
        .map_err(|source| HttpError::Connect {
            authority: authority.clone(),
            source,
        })?;
    let broken = |source| HttpError::Http {
        authority: authority.clone(),
        source,
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let answer = async move {
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        Ok(HttpAnswer { status, body })
    };
    tokio::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer.map_err(broken),
        // The connection's own end may be seen before the answer that it has already brought.
        _ = connection => answer.await.map_err(broken),
    }
}
