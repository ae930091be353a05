//! A scripted engine for the load client's tests: it speaks HTTP by hand, so that it can also speak it wrongly.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use runner::load::Target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What the engine does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status and a body with its length.
    Status(u16, String),
    /// Status 200 and these pieces as chunks, with a pause before each but the first.
    Stream {
        pieces: Vec<String>,
        pause: Duration,
        then: Then,
    },
    /// Bytes as they are, then the connection is closed.
    Raw(Vec<u8>),
    /// Nothing, for ever.
    Stall,
    /// The connection is closed without an answer.
    Close,
}

/// What comes after the pieces of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// The end of the body; the connection stays.
    End,
    /// The end of the body; the connection is closed, unread, as soon as another request comes in on it.
    EndThenClose,
    /// The connection is closed in the middle of the body.
    Cut,
    /// Nothing, for ever.
    Stall,
}

/// A request as the engine saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Number in order of arrival, from 0.
    pub(crate) number: usize,
    /// The head, as text.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: serde_json::Value,
}

/// A scripted engine. It ends with the test's process.
pub(crate) struct Engine {
    pub(crate) address: SocketAddr,
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    /// Most requests that it worked on at once.
    pub(crate) busy_peak: Arc<AtomicUsize>,
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Clone)]
struct Shared {
    script: Script,
    seen: Arc<Mutex<Vec<Seen>>>,
    busy: Arc<AtomicUsize>,
    busy_peak: Arc<AtomicUsize>,
}

impl Engine {
    pub(crate) fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        let shared = Shared {
            script: Arc::new(script),
            seen: Arc::default(),
            busy: Arc::default(),
            busy_peak: Arc::default(),
        };
        let (seen, busy_peak) = (Arc::clone(&shared.seen), Arc::clone(&shared.busy_peak));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    stream.set_nodelay(true).expect("a socket");
                    let shared = shared.clone();
                    tokio::spawn(async move { serve(stream, shared).await });
                }
            });
        });
        Self {
            address,
            seen,
            busy_peak,
        }
    }

    pub(crate) fn target(&self) -> Target {
        Target::local(self.address.port())
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }
}

/// Serves requests of one connection. `None` when the connection is over.
async fn serve(mut stream: TcpStream, shared: Shared) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|value| value.trim().to_owned())
            })
            .map_or(0, |value| value.parse().expect("a length"));
        while buffer.len() < head_end + length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        let body = serde_json::from_slice(&buffer[head_end..head_end + length])
            .unwrap_or(serde_json::Value::Null);
        buffer.drain(..head_end + length);
        let seen = {
            let mut all = shared.seen.lock().expect("no panic");
            let seen = Seen {
                number: all.len(),
                head,
                body,
            };
            all.push(seen.clone());
            seen
        };
        let busy = shared.busy.fetch_add(1, Ordering::SeqCst) + 1;
        shared.busy_peak.fetch_max(busy, Ordering::SeqCst);
        let reply = (shared.script)(&seen);
        let goes_on = answer(&mut stream, reply, &shared.busy).await;
        goes_on?;
    }
}

async fn answer(stream: &mut TcpStream, reply: Reply, busy: &AtomicUsize) -> Option<()> {
    let done = || {
        busy.fetch_sub(1, Ordering::SeqCst);
    };
    match reply {
        Reply::Status(status, body) => {
            let text = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            done();
            stream.write_all(text.as_bytes()).await.ok()
        }
        Reply::Stream {
            pieces,
            pause,
            then,
        } => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                .await
                .ok()?;
            for (index, piece) in pieces.iter().enumerate() {
                if index > 0 && !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
                let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
                stream.write_all(chunk.as_bytes()).await.ok()?;
            }
            match then {
                Then::End | Then::EndThenClose => {
                    done();
                    stream.write_all(b"0\r\n\r\n").await.ok()?;
                    if then == Then::End {
                        return Some(());
                    }
                    stream.peek(&mut [0]).await.ok()?;
                    None
                }
                Then::Cut => None,
                Then::Stall => std::future::pending().await,
            }
        }
        Reply::Raw(bytes) => {
            stream.write_all(&bytes).await.ok()?;
            None
        }
        Reply::Stall => std::future::pending().await,
        Reply::Close => None,
    }
}

/// One content chunk as an event.
pub(crate) fn content(text: &str) -> String {
    event(
        &serde_json::json!({ "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": null }] }),
    )
}

/// A JSON value as an event.
pub(crate) fn event(value: &serde_json::Value) -> String {
    format!("data: {value}\n\n")
}

/// A whole stream of `tokens` tokens: role, contents, finish, usage, end.
pub(crate) fn whole_stream(tokens: u32) -> Vec<String> {
    let mut pieces = vec![event(
        &serde_json::json!({ "choices": [{ "delta": { "role": "assistant", "content": "" } }] }),
    )];
    pieces.extend((0..tokens).map(|token| content(&format!(" t{token}"))));
    pieces.push(event(
        &serde_json::json!({ "choices": [{ "delta": {}, "finish_reason": "length" }] }),
    ));
    pieces.push(event(&serde_json::json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": tokens } })));
    pieces.push("data: [DONE]\n\n".to_owned());
    pieces
}

/// A stream that ends well.
pub(crate) fn well(tokens: u32) -> Reply {
    Reply::Stream {
        pieces: whole_stream(tokens),
        pause: Duration::ZERO,
        then: Then::End,
    }
}
