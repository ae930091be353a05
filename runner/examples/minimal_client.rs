//! The least that a client of a streaming engine can do: open streams, count bytes, take two stamps. What `ci/bench-load.sh` holds the runner against.
//!
//! It pools connections as the runner does and sends one body again and again; it parses nothing and records nothing. It prints one line of JSON.

use std::{
    convert::Infallible,
    io::Write as _,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use runner::{
    clock::{RunClock, process_cpu_ns},
    host::peak_rss_bytes,
};
use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;
use tokio::{net::TcpStream, task::JoinSet, time::Instant};

/// A connection is opened this long before its request is due.
const LEAD: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Parser)]
struct Args {
    /// Port of the engine, on this host.
    #[arg(long)]
    port: u16,
    /// The model's name.
    #[arg(long, default_value = "builtin:tiny")]
    model: String,
    /// Requests in all.
    #[arg(long)]
    requests: u32,
    /// Open loop: requests per second.
    #[arg(
        long,
        required_unless_present = "concurrency",
        conflicts_with = "concurrency"
    )]
    rate: Option<f64>,
    /// Closed loop: streams at once.
    #[arg(long)]
    concurrency: Option<u32>,
    /// Tokens of the prompt, as the built-in models count.
    #[arg(long)]
    prompt_tokens: usize,
    /// Tokens of each answer.
    #[arg(long)]
    output_tokens: u32,
}

/// What is printed.
#[derive(Debug, Default, Serialize)]
struct Figures {
    /// CPU time of the whole process.
    cpu_ns: u64,
    peak_rss_bytes: Option<u64>,
    /// Requests that were answered with status 200 to their end.
    answered: u32,
    bytes: u64,
    /// 99th percentile of sent − intended; null in a closed loop.
    lateness_p99_ns: Option<u64>,
    /// 99th percentile of first byte of the body − sent.
    first_byte_p99_ns: Option<u64>,
}

/// One answer.
struct Answer {
    sent_ns: u64,
    first_byte_ns: u64,
    bytes: u64,
}

type Sender = SendRequest<Full<Bytes>>;
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Everything that requests share.
struct Client {
    port: u16,
    body: Bytes,
    clock: RunClock,
    idle: Mutex<Vec<Sender>>,
}

impl Client {
    /// The connection that was used last, or a new one.
    async fn connection(&self) -> Result<Sender, Failure> {
        loop {
            let idle = self
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let Some(mut sender) = idle else { break };
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn ask(&self, mut sender: Sender) -> Result<Answer, Failure> {
        let request = Request::post("/v1/chat/completions")
            .header("host", "127.0.0.1")
            .header("content-type", "application/json")
            .body(Full::<Bytes>::new(self.body.clone()))?;
        let sent_ns = self.clock.now_ns();
        let mut response = sender.send_request(request).await?;
        if response.status() != 200 {
            return Err(format!("status {}", response.status()).into());
        }
        let (mut first_byte_ns, mut bytes) = (None, 0);
        while let Some(frame) = response.frame().await {
            if let Some(data) = frame?.data_ref() {
                first_byte_ns.get_or_insert_with(|| self.clock.now_ns());
                bytes += data.len() as u64;
            }
        }
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        Ok(Answer {
            sent_ns,
            first_byte_ns: first_byte_ns.unwrap_or(sent_ns),
            bytes,
        })
    }
}

fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let figures = runtime.block_on(measure(args));
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&figures)?)?;
    Ok(())
}

fn body(args: &Args) -> Bytes {
    // One byte a token, as long as the texts that the runner makes for these models.
    let prompt = "a".repeat(args.prompt_tokens);
    let tokens = args.output_tokens;
    Bytes::from(format!(
        r#"{{"model":"{}","messages":[{{"role":"user","content":"{prompt}"}}],"stream":true,"stream_options":{{"include_usage":true}},"temperature":0,"max_tokens":{tokens},"min_tokens":{tokens},"ignore_eos":true}}"#,
        args.model
    ))
}

async fn measure(args: Args) -> Figures {
    let client = Arc::new(Client {
        port: args.port,
        body: body(&args),
        clock: RunClock::start(),
        idle: Mutex::default(),
    });
    match (args.rate, args.concurrency) {
        (Some(rate), _) => open_loop(&client, args.requests, rate).await,
        (None, concurrency) => closed_loop(&client, args.requests, concurrency.unwrap_or(1)).await,
    }
}

async fn open_loop(client: &Arc<Client>, requests: u32, rate: f64) -> Figures {
    let start = Instant::now();
    let start_ns = client.clock.now_ns();
    let mut tasks = JoinSet::new();
    for number in 0..requests {
        let client = Arc::clone(client);
        let offset = LEAD + Duration::from_secs_f64(f64::from(number) / rate);
        tasks.spawn(async move {
            tokio::time::sleep_until(start + offset - LEAD).await;
            let sender = client.connection().await?;
            tokio::time::sleep_until(start + offset).await;
            let answer = client.ask(sender).await?;
            let intended_ns = start_ns + u64::try_from(offset.as_nanos())?;
            Ok::<_, Failure>((answer.sent_ns.saturating_sub(intended_ns), answer))
        });
    }
    let mut answers = Vec::with_capacity(requests as usize);
    let mut lateness = Vec::with_capacity(requests as usize);
    while let Some(ended) = tasks.join_next().await {
        if let Ok(Ok((late_ns, answer))) = ended {
            lateness.push(late_ns);
            answers.push(answer);
        }
    }
    Figures {
        lateness_p99_ns: p99(lateness),
        ..figures(&answers)
    }
}

async fn closed_loop(client: &Arc<Client>, requests: u32, concurrency: u32) -> Figures {
    let asked = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..concurrency {
        let (client, asked) = (Arc::clone(client), Arc::clone(&asked));
        tasks.spawn(async move {
            let mut answers = Vec::new();
            while asked.fetch_add(1, Ordering::Relaxed) < requests {
                let answer = async { client.ask(client.connection().await?).await }.await;
                answers.extend(answer.ok());
            }
            Ok::<_, Infallible>(answers)
        });
    }
    let mut answers = Vec::with_capacity(requests as usize);
    while let Some(ended) = tasks.join_next().await {
        answers.extend(ended.into_iter().flatten().flatten());
    }
    figures(&answers)
}

fn figures(answers: &[Answer]) -> Figures {
    let waits = answers
        .iter()
        .map(|answer| answer.first_byte_ns - answer.sent_ns);
    Figures {
        cpu_ns: process_cpu_ns(),
        peak_rss_bytes: peak_rss_bytes(),
        answered: u32::try_from(answers.len()).unwrap_or(u32::MAX),
        bytes: answers.iter().map(|answer| answer.bytes).sum(),
        lateness_p99_ns: None,
        first_byte_p99_ns: p99(waits.collect()),
    }
}

/// The value below which 99 % lie; null without values.
fn p99(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    let last = values.len().checked_sub(1)?;
    values.get(last * 99 / 100).copied()
}
