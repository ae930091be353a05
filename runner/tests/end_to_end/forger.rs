//! A server between the runner and an engine that alters what the engine says, so that a run meets what no engine here does by itself.
//!
//! Every replacement is as long as what it replaces, so that the lengths of HTTP stay true.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

/// A streamed answer that passes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer {
    /// A prompt that opens alike was answered before.
    pub(crate) later: bool,
    /// Number among the answers that are `later`, or among those that are not, from 0.
    pub(crate) number: u64,
}

/// What becomes of the lines of an engine's answers.
#[derive(Clone, Copy)]
pub(crate) struct Forger {
    /// Alters one line of a streamed answer.
    pub(crate) line: fn(Answer, String) -> String,
    /// The engine seems to have no `/tokenize`.
    pub(crate) without_tokenize: bool,
}

/// Starts the server before the engine at `engine_port`: its port. It lives as long as the test's process.
pub(crate) fn start(forger: Forger, engine_port: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let seen = Arc::new(Mutex::new(Seen::default()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || {
                // Either side may end it.
                let _ = pass(forger, stream, engine_port, &seen);
            });
        }
    });
    port
}

/// Replaces the number after a key, in as many bytes.
pub(crate) fn with_number(line: &str, key: &str, change: impl Fn(u64) -> u64) -> String {
    let marked = format!("\"{key}\":");
    let Some(at) = line.find(&marked) else {
        return line.to_owned();
    };
    let from = at + marked.len();
    let digits = line[from..].bytes().take_while(u8::is_ascii_digit).count();
    let Ok(number) = line[from..from + digits].parse() else {
        return line.to_owned();
    };
    let altered = change(number).to_string();
    assert!(altered.len() <= digits, "{altered} does not fit");
    format!(
        "{}{altered:>digits$}{}",
        &line[..from],
        &line[from + digits..]
    )
}

/// Openings of prompts so far, and how many answers of either kind there were.
#[derive(Default)]
struct Seen {
    openings: BTreeSet<Vec<u8>>,
    answers: [u64; 2],
}

impl Seen {
    fn answer(&mut self, body: &[u8]) -> Answer {
        // The salt stands at the front; the question, which differs, at the end.
        let opening = body[..body.len().min(400)].to_vec();
        let later = !self.openings.insert(opening);
        let count = &mut self.answers[usize::from(later)];
        let number = *count;
        *count += 1;
        Answer { later, number }
    }
}

/// Hands one request through, and its answer line by line.
fn pass(
    forger: Forger,
    mut client: TcpStream,
    engine_port: u16,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(client.try_clone()?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line == "\r\n" {
            break;
        }
        if !lower.starts_with("connection:") {
            head.push_str(&line);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    if forger.without_tokenize && head.starts_with("POST /tokenize") {
        return client.write_all(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
        );
    }
    let streamed = String::from_utf8_lossy(&body).contains("\"stream\":true");
    let answer = (head.starts_with("POST /v1/chat/completions") && streamed)
        .then(|| seen.lock().map(|mut seen| seen.answer(&body)))
        .and_then(Result::ok);
    let mut engine = TcpStream::connect(("127.0.0.1", engine_port))?;
    engine.write_all(format!("{head}connection: close\r\n\r\n").as_bytes())?;
    engine.write_all(&body)?;
    let mut from_engine = BufReader::new(engine);
    let mut line = Vec::new();
    while from_engine.read_until(b'\n', &mut line)? > 0 {
        let altered = match (answer, std::str::from_utf8(&line)) {
            (Some(answer), Ok(text)) if text.starts_with("data:") => {
                let altered = (forger.line)(answer, text.to_owned());
                assert_eq!(altered.len(), text.len(), "lengths stay true");
                altered.into_bytes()
            }
            _ => line.clone(),
        };
        client.write_all(&altered)?;
        line.clear();
    }
    Ok(())
}
