//! Refusals in the form that OpenAI's clients read.

use bytes::Bytes;
use hyper::StatusCode;

/// A request that is not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    message: String,
    parameter: Option<&'static str>,
}

impl ApiError {
    /// The request makes no sense, 400.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            message: message.into(),
            parameter: None,
        }
    }

    /// The value of one parameter makes no sense, 400.
    pub(crate) fn parameter(parameter: &'static str, message: impl Into<String>) -> Self {
        Self {
            parameter: Some(parameter),
            ..Self::bad_request(message)
        }
    }

    /// Another model is served here, 404.
    pub(crate) fn unknown_model(name: &str) -> Self {
        let message = format!("the model `{name}` does not exist");
        Self {
            status: StatusCode::NOT_FOUND,
            message,
            parameter: Some("model"),
        }
    }

    /// Nothing is served at this path, 404.
    pub(crate) fn unknown_path(path: &str) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            message: format!("nothing is served at {path}"),
            parameter: None,
        }
    }

    /// The path takes another method, 405.
    pub(crate) fn wrong_method(path: &str) -> Self {
        let message = format!("{path} takes another method");
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            message,
            parameter: None,
        }
    }

    /// The model is not loaded yet, 503.
    pub(crate) fn not_ready() -> Self {
        let message = "the model is being loaded".to_owned();
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            message,
            parameter: None,
        }
    }

    /// The engine failed, 500.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            message: message.into(),
            parameter: None,
        }
    }

    /// The object that goes into the answer's body.
    pub(crate) fn json(&self) -> serde_json::Value {
        let kind = match self.status {
            StatusCode::NOT_FOUND => "NotFoundError",
            status if status.is_client_error() => "BadRequestError",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableError",
            _ => "InternalServerError",
        };
        serde_json::json!({"error": {
            "message": self.message,
            "type": kind,
            "param": self.parameter,
            "code": self.status.as_u16(),
        }})
    }

    /// The answer's body.
    pub(crate) fn body(&self) -> Bytes {
        Bytes::from(self.json().to_string())
    }
}
