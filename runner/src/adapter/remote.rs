//! Servers that keep KV for LMCache: its own, Redis, Valkey, Redis behind Sentinels. One that runs already is taken by its URL.

use indexmap::IndexMap;
use schemas::{
    plan::{Launch, Probe, Role},
    scenario::{Backend, Redis, RedisSentinel, Remote, Storage},
};

use super::Request;

/// These end at once, and have nothing to save.
const GRACE_NS: u64 = 5_000_000_000;

/// Name under which Sentinels watch the master, where the scenario gives none: LMCache's own default.
const SERVICE: &str = "redismaster";

/// Sentinels that agree make a failover; three are the fewest that survive the loss of one.
const SENTINELS: u32 = 3;

/// The servers of a remote tier.
#[derive(Debug, Default)]
pub(super) struct Servers {
    /// What is started, in this order, before everything that uses it.
    pub(super) launches: Vec<Launch>,
    /// Where LMCache finds it: `redis://…`, with symbols.
    pub(super) url: Option<String>,
    /// Where the one server is that speaks Redis' protocol.
    pub(super) place: Option<Place>,
    /// Environment of the process that reaches it.
    pub(super) env: IndexMap<String, String>,
}

/// Host and port, which may be a symbol.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: String,
}

impl Servers {
    /// The servers of a backend; none where it has no remote tier.
    ///
    /// # Errors
    /// In words, when a program is not found, or a server cannot keep its data where the scenario wants it.
    pub(super) fn of(
        request: &Request<'_>,
        backend: &Backend,
        python: &str,
    ) -> Result<Self, String> {
        let Some(remote) = &backend.remote else {
            return Ok(Self::default());
        };
        let name = format!("{}.remote", request.name);
        match remote {
            Remote::Lm(lm) => Ok(match &lm.url {
                Some(url) => Self::running(url),
                None => match lm.storage {
                    None | Some(Storage::Memory) => lm_server(&name, python),
                    Some(Storage::Disk) => {
                        return Err("LMCache's `lm://` server keeps KV in its memory alone: 0.5.0 and 0.5.6 refuse a directory (`Unsupported device`)".into());
                    }
                },
            }),
            Remote::Redis(redis) => match &redis.url {
                Some(url) => Ok(Self::running(url)),
                None => redis_alone(request, &name, "redis", redis),
            },
            Remote::Valkey(valkey) => match &valkey.url {
                Some(url) => Ok(Self::running(url)),
                None => redis_alone(request, &name, "valkey", valkey),
            },
            Remote::RedisSentinel(sentinel) => {
                let mut servers = match &sentinel.url {
                    Some(url) => Self::running(url),
                    None => behind_sentinels(request, &name, sentinel)?,
                };
                let service = sentinel.service.clone();
                servers.env.insert(
                    "REDIS_SERVICE_NAME".to_owned(),
                    service.unwrap_or_else(|| SERVICE.to_owned()),
                );
                Ok(servers)
            }
        }
    }

    /// A server that others run.
    fn running(url: &str) -> Self {
        let place = url.split_once("://").and_then(|(scheme, rest)| {
            let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
            let alone = !host.contains([',', '@', '/']) && port.parse::<u16>().is_ok();
            (alone && matches!(scheme, "redis" | "valkey")).then(|| Place {
                host: host.to_owned(),
                port: port.to_owned(),
            })
        });
        Self {
            url: Some(url.to_owned()),
            place,
            ..Self::default()
        }
    }
}

/// LMCache's own server. Its last argument is where it keeps its data: `cpu` is its memory.
fn lm_server(name: &str, python: &str) -> Servers {
    let port = format!("{{port.{name}}}");
    let command = [python, "-m", "lmcache.v1.server", "127.0.0.1", &port, "cpu"];
    let env = [
        ("PYTHONUNBUFFERED", "1"),
        ("LMCACHE_TRACK_USAGE", "false"),
        ("LMCACHE_DISABLE_BANNER", "1"),
    ];
    let launch = Launch {
        env: env
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..sidecar(
            name,
            command.map(str::to_owned).to_vec(),
            Probe::LogLine {
                contains: "Server started at".into(),
            },
        )
    };
    Servers {
        launches: vec![launch],
        url: Some(format!("lm://127.0.0.1:{port}")),
        ..Servers::default()
    }
}

/// One Redis or Valkey server, in memory only.
fn redis_alone(
    request: &Request<'_>,
    name: &str,
    kind: &str,
    redis: &Redis,
) -> Result<Servers, String> {
    let program = server_program(request, kind)?;
    let mut settings = in_memory(name);
    if let Some(capacity) = redis.capacity {
        settings.push_str(&format!(
            "maxmemory {}\nmaxmemory-policy allkeys-lru\n",
            capacity.0
        ));
    }
    Ok(Servers {
        launches: vec![redis_server(&program, name, settings, "", ping(name))],
        url: Some(format!("{kind}://127.0.0.1:{{port.{name}}}")),
        place: Some(at(name)),
        env: IndexMap::new(),
    })
}

/// A master, a replica of it, and sentinels that watch both.
fn behind_sentinels(
    request: &Request<'_>,
    name: &str,
    sentinel: &RedisSentinel,
) -> Result<Servers, String> {
    let program = server_program(request, "redis")?;
    let service = sentinel.service.as_deref().unwrap_or(SERVICE);
    let (master, replica) = (format!("{name}.master"), format!("{name}.replica"));
    let mut launches = vec![redis_server(
        &program,
        &master,
        in_memory(&master),
        "",
        ping(&master),
    )];
    let follows = format!(
        "{}replicaof 127.0.0.1 {{port.{master}}}\n",
        in_memory(&replica)
    );
    launches.push(redis_server(
        &program,
        &replica,
        follows,
        "",
        Probe::Redis {
            address: format!("127.0.0.1:{{port.{replica}}}"),
            command: vec!["INFO".into(), "replication".into()],
            contains: "master_link_status:up".into(),
        },
    ));
    let mut urls = Vec::new();
    for number in 1..=SENTINELS {
        let watcher = format!("{name}.sentinel-{number}");
        let watches = format!(
            "port {{port.{watcher}}}\nbind 127.0.0.1\ndir {{run}}/data/{watcher}\n\
             sentinel monitor {service} 127.0.0.1 {{port.{master}}} {}\n\
             sentinel down-after-milliseconds {service} 2000\nsentinel failover-timeout {service} 10000\n",
            SENTINELS / 2 + 1
        );
        let knows_master = Probe::Redis {
            address: format!("127.0.0.1:{{port.{watcher}}}"),
            command: ["SENTINEL", "get-master-addr-by-name", service]
                .map(str::to_owned)
                .to_vec(),
            contains: format!("{{port.{master}}}"),
        };
        launches.push(redis_server(
            &program,
            &watcher,
            watches,
            "--sentinel",
            knows_master,
        ));
        urls.push(format!("127.0.0.1:{{port.{watcher}}}"));
    }
    Ok(Servers {
        launches,
        url: Some(format!("redis-sentinel://{}", urls.join(","))),
        // Who cannot ask a sentinel is given the master that stands at the start.
        place: Some(at(&master)),
        env: IndexMap::new(),
    })
}

/// Settings of a server that keeps nothing on disk.
fn in_memory(name: &str) -> String {
    format!(
        "port {{port.{name}}}\nbind 127.0.0.1\ndir {{run}}/data/{name}\nsave \"\"\nappendonly no\n"
    )
}

fn redis_server(program: &str, name: &str, settings: String, mode: &str, probe: Probe) -> Launch {
    // A sentinel writes what it learns into its file, so it lies with the data.
    let file = format!("{{run}}/data/{name}/server.conf");
    let mut command = vec![program.to_owned(), file.clone()];
    command.extend((!mode.is_empty()).then(|| mode.to_owned()));
    Launch {
        files: IndexMap::from([(file, settings)]),
        ..sidecar(name, command, probe)
    }
}

fn ping(name: &str) -> Probe {
    Probe::Redis {
        address: format!("127.0.0.1:{{port.{name}}}"),
        command: vec!["PING".into()],
        contains: "+PONG".into(),
    }
}

fn at(name: &str) -> Place {
    Place {
        host: "127.0.0.1".into(),
        port: format!("{{port.{name}}}"),
    }
}

fn sidecar(name: &str, command: Vec<String>, probe: Probe) -> Launch {
    Launch {
        name: name.to_owned(),
        role: Role::Sidecar,
        command,
        env: IndexMap::new(),
        files: IndexMap::new(),
        ports: IndexMap::from([(name.to_owned(), None)]),
        probe,
        metrics_url: None,
        grace_ns: GRACE_NS,
        cores: None,
    }
}

/// Where `redis-server` or `valkey-server` is.
fn server_program(request: &Request<'_>, kind: &str) -> Result<String, String> {
    let program = format!("{kind}-server");
    let found = request.python.servers.get(&program);
    found
        .map(|path| path.display().to_string())
        .ok_or_else(|| format!("no `{program}` is found beside the interpreter or on PATH; `runner doctor` tells how to get one"))
}
