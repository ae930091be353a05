//! Asks a started process whether it answers.

use std::{fmt, io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode, Uri, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use schemas::plan::Probe;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    log_tail::{LogSearch, LogTail},
    symbols::{Symbols, UnknownPort},
};

/// How long one question may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause after the first question that was not answered; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// Longest reply that is read.
const REPLY_BYTES: usize = 1 << 20;

/// A probe with its symbols filled.
#[derive(Debug)]
pub(super) enum Readiness {
    Http {
        url: Uri,
        contains: Option<String>,
    },
    Log(LogSearch),
    Redis {
        address: String,
        command: Vec<String>,
        contains: String,
    },
    All(Vec<Readiness>),
}

/// Why a probe cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It uses a port that nobody has.
    #[error(transparent)]
    UnknownPort(#[from] UnknownPort),
    /// It is no address of a web server.
    #[error("probe `{url}` is no http URL")]
    NoHttpUrl {
        /// The address, with its symbols filled.
        url: String,
    },
}

impl Readiness {
    /// Fills the symbols of a probe.
    pub(super) fn new(
        probe: &Probe,
        symbols: Symbols<'_>,
        log: &LogTail,
    ) -> Result<Self, ProbeError> {
        Ok(match probe {
            Probe::Http { url, contains } => {
                let url = symbols.fill(url)?;
                let parsed = url.parse::<Uri>().ok().filter(|parsed| {
                    parsed.scheme_str() == Some("http") && parsed.host().is_some()
                });
                Self::Http {
                    url: parsed.ok_or(ProbeError::NoHttpUrl { url })?,
                    contains: contains.clone(),
                }
            }
            Probe::LogLine { contains } => Self::Log(log.search(&symbols.fill(contains)?)),
            Probe::Redis {
                address,
                command,
                contains,
            } => Self::Redis {
                address: symbols.fill(address)?,
                command: command
                    .iter()
                    .map(|word| symbols.fill(word))
                    .collect::<Result<_, _>>()?,
                contains: symbols.fill(contains)?,
            },
            Probe::All(probes) => Self::All(
                probes
                    .iter()
                    .map(|probe| Self::new(probe, symbols, log))
                    .collect::<Result<_, _>>()?,
            ),
        })
    }

    /// Asks until the answer is the wanted one. The last other answer is left in `last`, which outlives a call that is given up.
    pub(super) async fn wait(&mut self, last: &mut Option<Unready>) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let answer = match timeout(ANSWER_TIMEOUT, self.ask()).await {
                Ok(answer) => answer,
                Err(_) => Err(Unready::NoAnswer),
            };
            match answer {
                Ok(()) => return,
                Err(unready) => *last = Some(unready),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn ask(&mut self) -> Result<(), Unready> {
        match self {
            Self::Http { url, contains } => ask_http(url, contains.as_deref()).await,
            Self::Log(search) => {
                if search.found()? {
                    Ok(())
                } else {
                    Err(Unready::NoSuchLine)
                }
            }
            Self::Redis {
                address,
                command,
                contains,
            } => ask_redis(address, command, contains).await,
            Self::All(all) => {
                for one in all {
                    Box::pin(one.ask()).await?;
                }
                Ok(())
            }
        }
    }
}

/// What was found instead of the wanted answer.
#[derive(Debug)]
pub enum Unready {
    /// The server answered with another status.
    Status(StatusCode),
    /// The answer does not contain the wanted text.
    OtherText(String),
    /// The log does not contain the wanted text.
    NoSuchLine,
    /// It took the connection and did not answer.
    NoAnswer,
    /// It could not be asked.
    NotAsked(String),
}

impl From<io::Error> for Unready {
    fn from(error: io::Error) -> Self {
        Self::NotAsked(error.to_string())
    }
}

impl From<hyper::Error> for Unready {
    fn from(error: hyper::Error) -> Self {
        Self::NotAsked(error.to_string())
    }
}

impl fmt::Display for Unready {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(formatter, "it answered with HTTP status {status}"),
            Self::OtherText(text) => write!(formatter, "it answered `{text}`"),
            Self::NoSuchLine => write!(formatter, "the awaited line is not in its log"),
            Self::NoAnswer => write!(formatter, "it took the connection and did not answer"),
            Self::NotAsked(reason) => write!(formatter, "{reason}"),
        }
    }
}

async fn ask_http(url: &Uri, contains: Option<&str>) -> Result<(), Unready> {
    let host = url.host().unwrap_or_default();
    let stream =
        TcpStream::connect((host.trim_matches(['[', ']']), url.port_u16().unwrap_or(80))).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get(url.path_and_query().map_or("/", |path| path.as_str()))
        .header(
            header::HOST,
            url.authority().map_or(host, |authority| authority.as_str()),
        )
        .header(header::CONNECTION, "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Unready::NotAsked(error.to_string()))?;
    let exchange = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), REPLY_BYTES)
            .collect()
            .await
            .map_err(|error| Unready::NotAsked(error.to_string()))?;
        Ok::<_, Unready>((status, body.to_bytes()))
    };
    tokio::pin!(exchange, connection);
    let (status, body) = tokio::select! {
        answer = &mut exchange => answer?,
        // The connection may be closed before the last of the answer is read.
        _ = &mut connection => exchange.await?,
    };
    if status != StatusCode::OK {
        return Err(Unready::Status(status));
    }
    wanted_text(&body, contains.unwrap_or_default())
}

/// Sends the command as an array of strings (the protocol's version 2) and reads until the wanted text has come.
async fn ask_redis(address: &str, command: &[String], contains: &str) -> Result<(), Unready> {
    let mut stream = TcpStream::connect(address).await?;
    let mut request = format!("*{}\r\n", command.len());
    for word in command {
        request.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    loop {
        // A reply has no end that could be seen without reading its structure: wait for more only while nothing has come.
        let wait = if reply.is_empty() {
            ANSWER_TIMEOUT
        } else {
            LONGEST_PAUSE
        };
        let read = timeout(wait, stream.read_buf(&mut reply)).await;
        let wanted = wanted_text(&reply, contains);
        let is_over = !matches!(read, Ok(Ok(1..))) || reply.len() > REPLY_BYTES;
        if is_over || (wanted.is_ok() && !reply.is_empty()) {
            return if reply.is_empty() {
                Err(Unready::NoAnswer)
            } else {
                wanted
            };
        }
    }
}

fn wanted_text(reply: &[u8], contains: &str) -> Result<(), Unready> {
    const SHOWN_CHARACTERS: usize = 80;
    let text = String::from_utf8_lossy(reply);
    if text.contains(contains) {
        return Ok(());
    }
    let shown = text
        .chars()
        .filter(|character| !character.is_control())
        .take(SHOWN_CHARACTERS)
        .collect();
    Err(Unready::OtherText(shown))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use tokio::net::TcpListener;

    use super::*;
    use crate::process::ports::Ports;

    /// A server that gives each connection the next of the replies, once it has read something.
    async fn server(replies: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there are free ports");
        let port = listener.local_addr().expect("it is bound").port();
        tokio::spawn(async move {
            for reply in replies {
                let (mut stream, _) = listener.accept().await.expect("somebody asks");
                let mut asked = [0; 1024];
                let read = stream.read(&mut asked).await.expect("a question");
                assert!(read > 0);
                stream
                    .write_all(reply.as_bytes())
                    .await
                    .expect("it is read");
            }
        });
        port
    }

    fn readiness(probe: &Probe, port: u16) -> Result<Readiness, ProbeError> {
        let ports = Ports::of_numbers([("x", port)]);
        let symbols = Symbols {
            ports: &ports,
            run_folder: Path::new("/"),
            executable: Path::new("/"),
        };
        Readiness::new(
            probe,
            symbols,
            &LogTail::from_now(PathBuf::from("/nonexistent")),
        )
    }

    fn http(contains: Option<&str>) -> Probe {
        Probe::Http {
            url: "http://127.0.0.1:{port.x}/health?a=b".to_owned(),
            contains: contains.map(str::to_owned),
        }
    }

    fn redis() -> Probe {
        Probe::Redis {
            address: "127.0.0.1:{port.x}".to_owned(),
            command: vec!["PING".to_owned()],
            contains: "+PONG".to_owned(),
        }
    }

    #[tokio::test]
    async fn http_waits_for_status_and_text() {
        let port = server(&[
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"heal\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n\"heal\r\n4\r\nthy\"\r\n0\r\n\r\n",
        ])
        .await;
        let mut readiness = readiness(&http(Some("\"healthy\"")), port).expect("a URL");
        assert!(matches!(
            readiness.ask().await,
            Err(Unready::Status(StatusCode::SERVICE_UNAVAILABLE))
        ));
        assert!(matches!(readiness.ask().await, Err(Unready::OtherText(text)) if text == "{}"));
        let mut last = None;
        readiness.wait(&mut last).await;
        assert!(last.is_some(), "the third answer is cut");
    }

    #[tokio::test]
    async fn http_without_text_takes_any_200() {
        let port = server(&["HTTP/1.1 200 OK\r\n\r\n"]).await;
        // The answer's end is the connection's end.
        readiness(&http(None), port)
            .expect("a URL")
            .ask()
            .await
            .expect("it answers");
    }

    #[tokio::test]
    async fn redis_waits_for_the_text() {
        let port = server(&["-LOADING wait\r\n", "+PONG\r\n"]).await;
        let mut readiness = readiness(&redis(), port).expect("an address");
        assert!(
            matches!(readiness.ask().await, Err(Unready::OtherText(text)) if text == "-LOADING wait")
        );
        readiness.ask().await.expect("it answers");
    }

    #[tokio::test]
    async fn nobody_there_is_no_answer() {
        let port = server(&[]).await;
        // The server's task has ended or will, without an answer.
        for probe in [http(None), redis()] {
            assert!(
                readiness(&probe, port)
                    .expect("a probe")
                    .ask()
                    .await
                    .is_err()
            );
        }
    }

    #[test]
    fn only_http_urls_can_be_asked() {
        for url in [
            "https://127.0.0.1/",
            "127.0.0.1:80",
            "http:///x",
            "ftp://h/",
        ] {
            let probe = Probe::Http {
                url: url.to_owned(),
                contains: None,
            };
            let error = readiness(&probe, 1).expect_err("no http URL");
            assert_eq!(error.to_string(), format!("probe `{url}` is no http URL"));
        }
    }
}
