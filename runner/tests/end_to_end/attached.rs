//! Engines that run already: over http and https, with a key, with and without `/tokenize`.

use std::{
    fs,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use schemas::row::{Outcome, RequestKind};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use crate::support::{Workshop, rows, runner, stderr, wait_until};

pub(crate) const KEY: &str = "hush-hush-key-of-a-test";
pub(crate) const KEY_VARIABLE: &str = "KVBENCH_KEY_OF_A_TEST";

/// A built-in engine that a person started. Ends with the test.
pub(crate) struct ByHand {
    child: Child,
    pub(crate) port: u16,
}

impl ByHand {
    fn start() -> Self {
        Self::start_with(&[
            "--model",
            "builtin:tiny",
            "--served-model-name",
            "builtin:tiny",
            "--local-cpu",
            "1000000000",
        ])
    }

    /// With these arguments, on a free port.
    pub(crate) fn start_with(args: &[&str]) -> Self {
        let port = free_port();
        let child = Command::new(runner())
            .arg("engine")
            .args(args)
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the engine starts");
        let started = Self { child, port };
        wait_until("the engine's health", || is_healthy(port));
        started
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        // It may have ended itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `/health` gives 200.
fn is_healthy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /health HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// What stands in front of an engine.
#[derive(Debug, Clone, Copy, Default)]
struct Door {
    encrypted: bool,
    asks_for_key: bool,
    without_tokenize: bool,
    /// Refuses to answer prompts, and repeats the key while it does.
    repeats_key: bool,
}

/// A certificate for this host that vouches for itself, and its key: two PEM files.
pub(crate) fn certificate(folder: &Path) -> [String; 2] {
    let CertifiedKey { cert, key_pair } =
        generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])
            .expect("a certificate");
    [
        ("certificate.pem", cert.pem()),
        ("key.pem", key_pair.serialize_pem()),
    ]
    .map(|(name, text)| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    })
}

/// Starts a door before the engine at `port`: its port, and its certificate where it has one. It lives as long as the test's process.
fn door(door: Door, engine_port: u16, folder: &Path) -> (u16, PathBuf) {
    let [certificate, key] = certificate(folder);
    let chain = vec![CertificateDer::from_pem_file(&certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(&key).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a server's configuration");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (told, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            told.send(listener.local_addr().expect("an address").port())
                .expect("the test waits");
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if !door.encrypted {
                        pass(door, stream, engine_port).await;
                    } else if let Ok(stream) = acceptor.accept(stream).await {
                        pass(door, stream, engine_port).await;
                    }
                });
            }
        });
    });
    (port.recv().expect("the door opens"), certificate.into())
}

/// Looks at the head of the first request, and hands the connection through or answers itself.
async fn pass(door: Door, mut stream: impl AsyncRead + AsyncWrite + Unpin, engine_port: u16) {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read_exact(&mut byte).await.is_err() {
            return;
        }
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let given = text
        .lines()
        .find(|line| line.to_lowercase().starts_with("authorization"))
        .unwrap_or_default();
    let wrong = door.asks_for_key && !given.contains(&format!("Bearer {KEY}"));
    let repeats = door.repeats_key && text.starts_with("POST /v1/chat/completions");
    let refusal = if wrong || repeats {
        Some((
            "401 Unauthorized",
            format!("{{\"error\":\"wrong: {given:?}\"}}"),
        ))
    } else if door.without_tokenize && text.starts_with("POST /tokenize") {
        Some(("404 Not Found", "{}".to_owned()))
    } else {
        None
    };
    if let Some((status, body)) = refusal {
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        // Whoever has gone needs no answer.
        let _ = stream.write_all(answer.as_bytes()).await;
        let _ = stream.shutdown().await;
        return;
    }
    let mut engine = TcpStream::connect(("127.0.0.1", engine_port))
        .await
        .expect("the engine");
    engine.write_all(&head).await.expect("the head");
    // Either side may end it.
    let _ = copy_bidirectional(&mut stream, &mut engine).await;
}

fn scenario(url: &str, key: bool, model: &str) -> String {
    let key = if key {
        format!(", api-key-env = \"{KEY_VARIABLE}\"")
    } else {
        String::new()
    };
    format!(
        r#"
question = "Is an engine measured that runs already?"
model = "{model}"

[workload.shared-context]
context-length = 512
reuse-count = 3
query-length = 16
output-length = 8

[engine.attached]
attach = {{ url = "{url}"{key} }}
backend.local-cpu = {{ capacity = "1GB" }}

[trials]
at-least = 1
"#
    )
}

fn run(workshop: &Workshop, variables: &[(&str, &str)]) -> Output {
    let mut command = workshop.command_of_runner(&["--profile", "builtin", "attached.toml"]);
    command
        .env_remove(KEY_VARIABLE)
        .envs(variables.iter().copied());
    command.output().expect("the runner starts")
}

fn assert_measured(workshop: &Workshop, output: &Output) {
    // Where other tests take the client's core, the run is INVALID and its rows are as good.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 6)), "{}", stderr(output));
    let rows = rows(&workshop.run_folder("attached"));
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(row.outcome, Outcome::Ok, "{row:?}");
        assert_eq!(row.prompt_tokens, row.planned_prompt_tokens);
        assert!(row.planned_prompt_tokens.is_some(), "{row:?}");
        let cached = if row.kind == RequestKind::Reused {
            512
        } else {
            0
        };
        assert_eq!(row.cached_tokens, Some(cached));
    }
}

/// Neither in a file of the run nor on the terminal.
pub(crate) fn assert_key_is_nowhere(workshop: &Workshop, output: &Output) {
    let mut folders = vec![workshop.path().to_owned()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).expect("a file");
            let found = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
            assert!(!found, "{} holds the key", path.display());
        }
    }
    assert!(files > 3, "the run left files");
    assert!(!stderr(output).contains(KEY));
    assert!(!String::from_utf8_lossy(&output.stdout).contains(KEY));
}

#[test]
fn plain_http() {
    let engine = ByHand::start();
    let workshop = Workshop::new();
    let url = format!("http://127.0.0.1:{}", engine.port);
    workshop.scenario("attached", &scenario(&url, false, "builtin:tiny"));
    let output = run(&workshop, &[]);
    assert_measured(&workshop, &output);
    let counters = fs::metadata(workshop.run_folder("attached").join("counters.parquet"));
    assert!(counters.expect("counters").len() > 0);
}

#[test]
fn https_with_a_key_that_is_in_no_file() {
    let engine = ByHand::start();
    let workshop = Workshop::new();
    let in_front = Door {
        encrypted: true,
        asks_for_key: true,
        ..Door::default()
    };
    let (port, certificate) = door(in_front, engine.port, workshop.path());
    let url = format!("https://127.0.0.1:{port}");
    workshop.scenario("attached", &scenario(&url, true, "builtin:tiny"));
    let certificate = certificate.to_str().expect("a path");
    let variables = [(KEY_VARIABLE, KEY), ("SSL_CERT_FILE", certificate)];
    let output = run(&workshop, &variables);
    assert_measured(&workshop, &output);
    assert_key_is_nowhere(&workshop, &output);
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let engine = ByHand::start();
    let workshop = Workshop::new();
    let in_front = Door {
        encrypted: true,
        ..Door::default()
    };
    let (port, _) = door(in_front, engine.port, workshop.path());
    let other = workshop.path().join("other.pem");
    let CertifiedKey { cert, .. } =
        generate_simple_self_signed(vec!["other".to_owned()]).expect("a certificate");
    fs::write(&other, cert.pem()).expect("a file");
    let url = format!("https://127.0.0.1:{port}");
    workshop.scenario("attached", &scenario(&url, false, "builtin:tiny"));
    let output = run(
        &workshop,
        &[("SSL_CERT_FILE", other.to_str().expect("a path"))],
    );
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("certificate"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_key_that_is_refused_is_told_without_it() {
    let engine = ByHand::start();
    let workshop = Workshop::new();
    let in_front = Door {
        asks_for_key: true,
        ..Door::default()
    };
    let (port, _) = door(in_front, engine.port, workshop.path());
    let url = format!("http://127.0.0.1:{port}");
    workshop.scenario("attached", &scenario(&url, true, "builtin:tiny"));
    let output = run(&workshop, &[(KEY_VARIABLE, "another-key")]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains(&format!("look at the key in {KEY_VARIABLE}")),
        "{text}"
    );
    assert!(!text.contains("another-key"), "{text}");

    let output = run(&workshop, &[]);
    assert_eq!(output.status.code(), Some(3));
    let expected =
        format!("the environment variable {KEY_VARIABLE} that holds its API key is not set");
    assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
}

#[test]
fn without_tokenize_lengths_come_from_usage() {
    let engine = ByHand::start();
    let workshop = Workshop::new();
    let in_front = Door {
        without_tokenize: true,
        ..Door::default()
    };
    let (port, _) = door(in_front, engine.port, workshop.path());
    let url = format!("http://127.0.0.1:{port}");
    workshop.scenario("attached", &scenario(&url, false, "builtin:tiny"));
    let output = run(&workshop, &[]);
    assert_measured(&workshop, &output);
    assert!(
        stderr(&output).contains("has no /tokenize"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_model_that_it_does_not_serve_is_told() {
    let engine = ByHand::start();
    let workshop = Workshop::new();
    let url = format!("http://127.0.0.1:{}", engine.port);
    workshop.scenario("attached", &scenario(&url, false, "builtin:small"));
    let output = run(&workshop, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let text = stderr(&output);
    assert!(
        text.contains("serves builtin:tiny and not builtin:small"),
        "{text}"
    );
}

#[test]
fn a_key_that_the_server_repeats_is_in_no_file() {
    let engine = ByHand::start();
    let workshop = Workshop::new();
    let in_front = Door {
        repeats_key: true,
        ..Door::default()
    };
    let (port, _) = door(in_front, engine.port, workshop.path());
    let url = format!("http://127.0.0.1:{port}");
    workshop.scenario("attached", &scenario(&url, true, "builtin:tiny"));
    let output = run(&workshop, &[(KEY_VARIABLE, KEY)]);
    let rows = rows(&workshop.run_folder("attached"));
    let repeated = rows.iter().filter(|row| {
        row.detail
            .as_ref()
            .is_some_and(|detail| detail.contains("[key]"))
    });
    assert_eq!(repeated.count(), 3, "{rows:#?}");
    assert_key_is_nowhere(&workshop, &output);
}
