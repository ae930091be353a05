//! The HTTP interface: OpenAI's paths, and those of vLLM that a benchmark needs.

pub(crate) mod answer;
pub(crate) mod error;
pub(crate) mod request;
pub(crate) mod stream;

use std::convert::Infallible;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::{Method, Request, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::chat::ChatTemplate;
use crate::clock::now_ns;
use crate::generation::{EventStream, GenerationRequest};
use crate::metrics::Metrics;
use crate::paced::engine::PacedEngine;
use crate::scheduler::SchedulerHandle;
use crate::tokenizer::TextCodec;
use answer::{Choice, EventWriter, Interface, Label, Said, Served, add_usage};
use error::ApiError;
use request::{ChatRequest, Common, CompletionRequest, DetokenizeRequest, Prompt, TokenizeRequest};
use stream::AnswerStream;

/// Largest body that is read.
const BODY_LIMIT_BYTES: usize = 64 << 20;
/// Bodies above this are parsed and tokenized on another thread, so that no stream waits for them.
const INLINE_BODY_BYTES: usize = 16 << 10;
/// Tokens that `/v1/completions` generates when the request does not say, as OpenAI's does.
const DEFAULT_COMPLETION_TOKENS: u64 = 16;

/// How answers are made.
pub(crate) enum Backend {
    Computed(SchedulerHandle),
    Paced(Arc<PacedEngine>),
}

/// A loaded model with everything that requests need of it.
pub(crate) struct Service {
    pub(crate) model: String,
    pub(crate) codec: TextCodec,
    pub(crate) template: Option<ChatTemplate>,
    pub(crate) max_model_len: usize,
    /// Ids below are known to the model.
    pub(crate) vocab_size: usize,
    pub(crate) seed: u64,
    pub(crate) backend: Backend,
    pub(crate) metrics: Arc<Metrics>,
    /// Answers so far; part of their ids.
    pub(crate) answers: AtomicU64,
}

type AnyBody = Either<Full<Bytes>, AnswerStream>;

/// Answers one request; `service` is empty as long as the model is being loaded.
pub(crate) async fn answer(
    service: Arc<OnceLock<Arc<Service>>>,
    request: Request<Incoming>,
) -> Result<Response<AnyBody>, Infallible> {
    let received_ns = now_ns();
    let answer = match service.get() {
        Some(service) => route(service, request, received_ns).await,
        None => Err(ApiError::not_ready()),
    };
    Ok(answer.unwrap_or_else(|error| whole(error.status, "application/json", error.body())))
}

async fn route(
    service: &Arc<Service>,
    request: Request<Incoming>,
    received_ns: u64,
) -> Result<Response<AnyBody>, ApiError> {
    let path = request.uri().path().to_owned();
    let wanted = match path.as_str() {
        "/health" | "/version" | "/metrics" | "/v1/models" => Method::GET,
        "/v1/chat/completions" | "/v1/completions" | "/tokenize" | "/detokenize" => Method::POST,
        _ => return Err(ApiError::unknown_path(&path)),
    };
    if *request.method() != wanted {
        return Err(ApiError::wrong_method(&path));
    }
    match path.as_str() {
        "/health" => Ok(whole(StatusCode::OK, "application/json", Bytes::new())),
        "/version" => Ok(object(&json!({"version": env!("CARGO_PKG_VERSION")}))),
        "/metrics" => {
            let page = Bytes::from(service.metrics.render());
            Ok(whole(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                page,
            ))
        }
        "/v1/models" => Ok(object(&service.models())),
        "/tokenize" => parsed(service, request, Service::tokenize)
            .await
            .map(|value| object(&value)),
        "/detokenize" => parsed(service, request, Service::detokenize)
            .await
            .map(|value| object(&value)),
        "/v1/chat/completions" => {
            let (prompts, common) = parsed(service, request, Service::chat_prompt).await?;
            service
                .generate(Interface::Chat, prompts, &common, received_ns)
                .await
        }
        _ => {
            let (prompts, common) = parsed(service, request, Service::completion_prompts).await?;
            service
                .generate(Interface::Completion, prompts, &common, received_ns)
                .await
        }
    }
}

/// Reads a JSON body and works on it, large ones on another thread.
async fn parsed<B, T>(
    service: &Arc<Service>,
    request: Request<Incoming>,
    work: fn(&Service, B) -> Result<T, ApiError>,
) -> Result<T, ApiError>
where
    B: DeserializeOwned + 'static,
    T: Send + 'static,
{
    let body = Limited::new(request.into_body(), BODY_LIMIT_BYTES)
        .collect()
        .await;
    let body = body
        .map_err(|error| ApiError::bad_request(format!("the body could not be read: {error}")))?
        .to_bytes();
    let service = Arc::clone(service);
    let size = body.len();
    let work = move || {
        let parsed = serde_json::from_slice(&body);
        work(
            &service,
            parsed.map_err(|error| {
                ApiError::bad_request(format!("the body cannot be used: {error}"))
            })?,
        )
    };
    if size <= INLINE_BODY_BYTES {
        return work();
    }
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(ApiError::internal(error.to_string())))
}

fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Response<AnyBody> {
    let mut response = Response::new(Either::Left(Full::new(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

fn object(value: &Value) -> Response<AnyBody> {
    whole(
        StatusCode::OK,
        "application/json",
        Bytes::from(value.to_string()),
    )
}

impl Service {
    fn check_model(&self, name: Option<&str>) -> Result<(), ApiError> {
        match name {
            Some(name) if name != self.model => Err(ApiError::unknown_model(name)),
            _ => Ok(()),
        }
    }

    fn models(&self) -> Value {
        let model = json!({"id": self.model, "object": "model", "created": unix_seconds(), "owned_by": "builtin",
            "max_model_len": self.max_model_len});
        json!({"object": "list", "data": [model]})
    }

    fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, ApiError> {
        self.codec.encode(text, special).map_err(ApiError::internal)
    }

    fn encode_chat(
        &self,
        messages: &[Value],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, ApiError> {
        let Some(template) = &self.template else {
            return Err(ApiError::bad_request(
                "the model directory has no chat template",
            ));
        };
        let prompt = template
            .render(messages, add_generation_prompt)
            .map_err(|error| {
                ApiError::parameter(
                    "messages",
                    format!("the chat template refuses the messages: {error}"),
                )
            })?;
        // The template writes the special ids itself.
        self.encode(&prompt, false)
    }

    fn tokenize(&self, request: TokenizeRequest) -> Result<Value, ApiError> {
        self.check_model(request.model.as_deref())?;
        let tokens = match (request.prompt, request.messages) {
            (Some(prompt), None) => {
                self.encode(&prompt, request.add_special_tokens.unwrap_or(true))?
            }
            (None, Some(messages)) => self.encode_chat(&messages, request.add_generation_prompt)?,
            _ => {
                return Err(ApiError::bad_request(
                    "exactly one of prompt and messages is needed",
                ));
            }
        };
        Ok(
            json!({"count": tokens.len(), "max_model_len": self.max_model_len, "tokens": tokens, "token_strs": null}),
        )
    }

    fn detokenize(&self, request: DetokenizeRequest) -> Result<Value, ApiError> {
        self.check_model(request.model.as_deref())?;
        Ok(json!({"prompt": self.codec.decode(&request.tokens).map_err(ApiError::internal)?}))
    }

    fn chat_prompt(&self, request: ChatRequest) -> Result<(Vec<Vec<u32>>, Common), ApiError> {
        self.check_model(request.common.model.as_deref())?;
        Ok((
            vec![self.encode_chat(&request.messages, request.add_generation_prompt)?],
            request.common,
        ))
    }

    fn completion_prompts(
        &self,
        request: CompletionRequest,
    ) -> Result<(Vec<Vec<u32>>, Common), ApiError> {
        self.check_model(request.common.model.as_deref())?;
        let ids = |prompt| match prompt {
            Prompt::Text(text) => self.encode(&text, true),
            Prompt::Ids(ids) => Ok(ids),
        };
        let prompts = request
            .prompt
            .0
            .into_iter()
            .map(ids)
            .collect::<Result<_, _>>()?;
        Ok((prompts, request.common))
    }

    async fn generate(
        &self,
        interface: Interface,
        prompts: Vec<Vec<u32>>,
        common: &Common,
        received_ns: u64,
    ) -> Result<Response<AnyBody>, ApiError> {
        common.check()?;
        let default = (interface == Interface::Completion).then_some(DEFAULT_COMPLETION_TOKENS);
        let sampling = common.sampling(self.seed)?;
        let mut requests = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            if prompt.is_empty() {
                return Err(ApiError::parameter("prompt", "the prompt is empty"));
            }
            if let Some(id) = prompt.iter().find(|id| **id as usize >= self.vocab_size) {
                let message = format!(
                    "token id {id} is out of the vocabulary of {} ids",
                    self.vocab_size
                );
                return Err(ApiError::parameter("prompt", message));
            }
            let (min_tokens, max_tokens) =
                common.lengths(prompt.len(), self.max_model_len, default)?;
            let ignore_eos = common.ignore_eos;
            requests.push(GenerationRequest {
                prompt,
                max_tokens,
                min_tokens,
                ignore_eos,
                sampling,
                received_ns,
            });
        }
        let mut choices = Vec::with_capacity(requests.len());
        for request in requests {
            let prompt_tokens = request.prompt.len();
            choices.push(Choice::new(
                self.submit(request)?,
                self.codec.stream(),
                prompt_tokens,
            ));
        }
        let label = self.label(interface);
        if !common.stream {
            return collect(label, choices, received_ns).await;
        }
        let writer = EventWriter::new(label, choices.len());
        let stream = AnswerStream::new(choices, writer, received_ns, common.include_usage());
        let mut response = Response::new(Either::Right(stream));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            hyper::header::HeaderValue::from_static("text/event-stream; charset=utf-8"),
        );
        headers.insert(
            CACHE_CONTROL,
            hyper::header::HeaderValue::from_static("no-cache"),
        );
        Ok(response)
    }

    fn submit(&self, request: GenerationRequest) -> Result<EventStream, ApiError> {
        match &self.backend {
            Backend::Computed(scheduler) => Ok(scheduler.submit(request)),
            Backend::Paced(engine) => engine
                .submit(&request)
                .map_err(|_| ApiError::internal("the paced script refuses this request")),
        }
    }

    fn label(&self, interface: Interface) -> Label {
        let prefix = match interface {
            Interface::Chat => "chatcmpl",
            Interface::Completion => "cmpl",
        };
        let number = self.answers.fetch_add(1, Ordering::Relaxed);
        let created = unix_seconds();
        Label {
            interface,
            id: format!("{prefix}-{created:08x}{number:08x}"),
            created,
            model: self.model.clone(),
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Waits for all choices and answers with one object.
async fn collect(
    label: Label,
    mut choices: Vec<Choice>,
    received_ns: u64,
) -> Result<Response<AnyBody>, ApiError> {
    let mut served = Served {
        received_ns,
        first_token_ns: None,
        last_token_ns: None,
    };
    let mut answers = Vec::with_capacity(choices.len());
    for (index, choice) in choices.iter_mut().enumerate() {
        let mut text = String::new();
        let reason = loop {
            match poll_fn(|context| choice.poll(context)).await? {
                Said::Text(piece) => {
                    text.push_str(&piece);
                    served.stamp();
                }
                Said::End(reason) => break reason,
                Said::Cut | Said::Garbage => {
                    return Err(ApiError::internal(
                        "the paced script fails this request, which is not streamed",
                    ));
                }
            }
        };
        text.push_str(&choice.text.finish());
        let mut answer = json!({"index": index, "logprobs": null, "finish_reason": reason.name()});
        match label.interface {
            Interface::Chat => answer["message"] = json!({"role": "assistant", "content": text}),
            Interface::Completion => answer["text"] = json!(text),
        }
        answers.push(answer);
    }
    let mut answer = label.object(false, &Value::Array(answers));
    add_usage(&mut answer, &choices, &served);
    Ok(object(&answer))
}
