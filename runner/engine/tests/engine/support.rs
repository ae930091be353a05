//! A real engine on a free port, and just enough of an HTTP client to talk to it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;

use clap::Parser;
use engine::{EngineArgs, EngineError};
use serde_json::{Value, json};
use tokio::sync::oneshot;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    engine: EngineArgs,
}

/// An engine in a thread of this process; it ends with this value.
pub(crate) struct Engine {
    pub(crate) port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), EngineError>>>,
}

impl Engine {
    /// Starts an engine and waits until it is ready.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let engine = Self::launch(arguments);
        while engine.get("/health").status == 503 {
            std::thread::yield_now();
        }
        engine
    }

    /// Starts an engine.
    pub(crate) fn launch(arguments: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let arguments = Command::parse_from(["engine"].iter().chain(arguments)).engine;
        let (stop, stopped) = oneshot::channel();
        let wait = async {
            stopped.await.unwrap_or(());
            Ok(())
        };
        let thread = std::thread::spawn(move || engine::serve_on(listener, arguments, wait));
        Self {
            port,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Waits for an engine that ends by itself.
    pub(crate) fn join(mut self) -> Result<(), EngineError> {
        self.thread.take().unwrap().join().unwrap()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Sends a request and leaves the answer to be read. Version 1.0 of HTTP: the answer ends with the connection.
    pub(crate) fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let mut stream = self.connect();
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: engine\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        Answer::read(self.send("GET", path, ""))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        Answer::read(self.send("POST", path, &body.to_string()))
    }

    /// A metric's value; the line is found by its beginning up to the model's name, and by the tier.
    pub(crate) fn metric(&self, name: &str, tier: &str) -> f64 {
        let page = self.get("/metrics").body;
        let line = page
            .lines()
            .find(|line| line.starts_with(&format!("{name}{{")) && line.contains(tier));
        let line = line.unwrap_or_else(|| panic!("no metric {name} {tier} in\n{page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// The greedy continuation of token ids: text and cached tokens.
    pub(crate) fn continue_greedily(&self, prompt: &[u32], max_tokens: u32) -> (String, u64) {
        let body = json!({"prompt": prompt, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": true});
        let answer = self.post("/v1/completions", &body);
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer = answer.json();
        let text = answer["choices"][0]["text"].as_str().unwrap().to_owned();
        assert_eq!(answer["usage"]["completion_tokens"], max_tokens);
        (
            text,
            answer["usage"]["prompt_tokens_details"]["cached_tokens"]
                .as_u64()
                .unwrap(),
        )
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            if !std::thread::panicking() {
                ended.unwrap().unwrap();
            }
        }
    }
}

/// A whole answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
    /// Whether the connection ended in order.
    pub(crate) complete: bool,
}

impl Answer {
    pub(crate) fn read(mut stream: TcpStream) -> Self {
        let mut bytes = Vec::new();
        let complete = stream.read_to_end(&mut bytes).is_ok();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap_or(0);
        Self {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
            complete,
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The data of a stream's events, without the mark at its end.
    pub(crate) fn events(&self) -> Vec<Value> {
        let data: Vec<&str> = self
            .body
            .split("\n\n")
            .filter_map(|event| event.strip_prefix("data: "))
            .collect();
        assert_eq!(data.last(), Some(&"[DONE]"), "{}", self.body);
        data[..data.len() - 1]
            .iter()
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

/// Ordinary ids of the shipped tokenizer, different ones for each seed.
pub(crate) fn prompt(seed: u32, length: usize) -> Vec<u32> {
    let mut state = u64::from(seed) * 2 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        7 + (state >> 40) as u32 % 770
    };
    (0..length).map(|_| next()).collect()
}

/// Files with KV chunks in a folder.
pub(crate) fn chunk_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}
