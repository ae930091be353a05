//! Single questions to an engine or a sidecar outside the request path: health, `/tokenize`, counters.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::load::{Target, Transport};

/// Longest time that one question may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nobody listens, or the connection broke.
    #[error("{url} does not answer: {reason}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why not.
        reason: String,
    },
    /// No answer in time.
    #[error("{url} did not answer within {} s", PATIENCE.as_secs())]
    TooLate {
        /// What was asked.
        url: String,
    },
}

/// An answer, whole.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

/// GET of a path at a target.
///
/// # Errors
/// [`HttpError`]; an answer with any status is no error.
pub async fn get(target: &Target, path: &str) -> Result<Answer, HttpError> {
    ask(target, Method::GET, path, Vec::new()).await
}

/// POST of a JSON body.
///
/// # Errors
/// [`HttpError`]; an answer with any status is no error.
pub async fn post_json(target: &Target, path: &str, body: Vec<u8>) -> Result<Answer, HttpError> {
    ask(target, Method::POST, path, body).await
}

async fn ask(
    target: &Target,
    method: Method,
    path: &str,
    body: Vec<u8>,
) -> Result<Answer, HttpError> {
    let url = target.url(path);
    let no_answer = |reason: &dyn std::fmt::Display| HttpError::NoAnswer {
        url: url.clone(),
        reason: reason.to_string(),
    };
    let exchange = async {
        let address = target.resolve().map_err(|error| no_answer(&error))?;
        let stream = Transport::connect(address, target.tls())
            .await
            .map_err(|error| no_answer(&error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| no_answer(&error))?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(method)
            .uri(target.path(path))
            .header(header::HOST, target.authority())
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = target.authorization() {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| no_answer(&error))?;
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| no_answer(&error))?;
        let status = response.status().as_u16();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| no_answer(&error))?
            .to_bytes();
        connection.abort();
        Ok(Answer { status, body })
    };
    timeout(PATIENCE, exchange)
        .await
        .unwrap_or_else(|_| Err(HttpError::TooLate { url: url.clone() }))
}
