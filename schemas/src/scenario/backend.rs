//! The stack of places where an engine's KV cache is kept.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    quantity::Bytes,
    schema::{mark, rule},
};

/// Why `none` stands without tiers.
const NONE_ALONE: &str = "`none` stands alone: a baseline has no cache at all";

/// `none` alone, or a stack of tiers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("minProperties" = 1, "allOf" = [
    rule::not_both("none", "prefix", NONE_ALONE),
    rule::not_both("none", "local-cpu", NONE_ALONE),
    rule::not_both("none", "local-disk", NONE_ALONE),
    rule::not_both("none", "remote", NONE_ALONE),
]))]
pub struct Backend {
    /// No cache at all: a baseline.
    pub none: Option<Empty>,
    /// The engine's own cache in device memory.
    pub prefix: Option<Prefix>,
    /// Host memory.
    pub local_cpu: Option<LocalCpu>,
    /// A directory of this host.
    pub local_disk: Option<LocalDisk>,
    /// A cache server.
    pub remote: Option<Remote>,
}

/// A table without keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// The engine's own cache in device memory.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Prefix {
    /// Its size; by default what the engine takes.
    #[schemars(transform = mark::positive)]
    pub capacity: Option<Bytes>,
}

/// Who keeps a local tier.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeptBy {
    /// LMCache (or, for the built-in engine, its own tier).
    #[default]
    Lmcache,
    /// The engine's own offloading.
    Engine,
}

/// Host memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalCpu {
    /// The engine's total.
    #[schemars(transform = mark::positive)]
    pub capacity: Bytes,
    /// Who keeps it.
    #[serde(default)]
    pub by: KeptBy,
}

/// A directory of this host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct LocalDisk {
    /// The engine's total.
    #[schemars(transform = mark::positive)]
    pub capacity: Bytes,
    /// Where; by default inside the run folder, removed after the run.
    #[schemars(transform = mark::not_empty)]
    pub path: Option<String>,
    /// Opens files past the page cache.
    pub direct_io: Option<bool>,
    /// Who keeps it.
    #[serde(default)]
    pub by: KeptBy,
}

/// A cache server: exactly one kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Remote {
    /// LMCache's `lm://` server.
    Lm(Lm),
    /// A Redis server.
    Redis(Redis),
    /// A Valkey server.
    Valkey(Redis),
    /// Redis behind Sentinels.
    RedisSentinel(RedisSentinel),
}

/// How KV is written for a remote tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Serde {
    /// As it is in memory.
    Naive,
    /// CacheGen's lossy compression.
    Cachegen,
    /// KIVI's quantisation.
    Kivi,
    /// 8-bit floating point: half the bytes.
    Fp8,
}

/// LMCache's `lm://` server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("allOf" = [rule::not_both("url", "storage", "a server that runs already has chosen where it keeps its data")]))]
pub struct Lm {
    /// How KV is written.
    pub serde: Option<Serde>,
    /// Where the server keeps it.
    pub storage: Option<Storage>,
    /// A server that runs already; by default one is started.
    #[schemars(transform = mark::pattern("^lm://[^ ]+$", "a URL like \"lm://127.0.0.1:65432\""))]
    pub url: Option<String>,
}

/// Where an `lm://` server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// In its memory.
    Memory,
    /// In a directory. LMCache 0.5 has no server that does; the engine is skipped.
    Disk,
}

/// A Redis or Valkey server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Redis {
    /// How KV is written.
    pub serde: Option<Serde>,
    /// The server's memory limit.
    #[schemars(transform = mark::positive)]
    pub capacity: Option<Bytes>,
    /// A server that runs already; by default one is started.
    #[schemars(transform = mark::pattern("^(redis|rediss|valkey|valkeys)://[^ ]+$", "a URL like \"redis://127.0.0.1:6379\""))]
    pub url: Option<String>,
}

/// Redis behind Sentinels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RedisSentinel {
    /// How KV is written.
    pub serde: Option<Serde>,
    /// The monitored service's name. By default `redismaster`.
    #[schemars(transform = mark::not_empty, extend("default" = "redismaster"))]
    pub service: Option<String>,
    /// Sentinels that run already; by default one master, one replica and three sentinels are started.
    #[schemars(transform = mark::pattern("^redis-sentinel://[^ ]+$", "a URL like \"redis-sentinel://host-a:26379,host-b:26379\""))]
    pub url: Option<String>,
}

impl Remote {
    /// The kind as the scenario file writes it: `lm`, `redis`, `valkey` or `redis-sentinel`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Lm(_) => "lm",
            Self::Redis(_) => "redis",
            Self::Valkey(_) => "valkey",
            Self::RedisSentinel(_) => "redis-sentinel",
        }
    }

    /// The server that runs already, where one is named.
    pub fn url(&self) -> Option<&str> {
        match self {
            Self::Lm(server) => server.url.as_deref(),
            Self::Redis(server) | Self::Valkey(server) => server.url.as_deref(),
            Self::RedisSentinel(server) => server.url.as_deref(),
        }
    }

    /// How KV is written, where the file says.
    pub fn serde(&self) -> Option<Serde> {
        match self {
            Self::Lm(server) => server.serde,
            Self::Redis(server) | Self::Valkey(server) => server.serde,
            Self::RedisSentinel(server) => server.serde,
        }
    }

    /// The server's memory limit in bytes, where the file says.
    pub fn capacity_bytes(&self) -> Option<u64> {
        match self {
            Self::Lm(_) | Self::RedisSentinel(_) => None,
            Self::Redis(server) | Self::Valkey(server) => {
                server.capacity.map(|capacity| capacity.0)
            }
        }
    }
}

impl Backend {
    /// No cache at all: what the others are compared with.
    pub fn is_none(&self) -> bool {
        self.none.is_some()
    }

    /// The tiers near to far with their capacity in bytes where one is stated: `prefix`, `local-cpu`, `local-disk`, `remote.KIND`.
    /// These are the names that `ENGINE.TIER` and `tier` take. Empty for `none`.
    pub fn tiers(&self) -> Vec<(String, Option<u64>)> {
        let mut tiers = Vec::new();
        if let Some(prefix) = &self.prefix {
            tiers.push((
                "prefix".to_owned(),
                prefix.capacity.map(|capacity| capacity.0),
            ));
        }
        if let Some(local_cpu) = &self.local_cpu {
            tiers.push(("local-cpu".to_owned(), Some(local_cpu.capacity.0)));
        }
        if let Some(local_disk) = &self.local_disk {
            tiers.push(("local-disk".to_owned(), Some(local_disk.capacity.0)));
        }
        if let Some(remote) = &self.remote {
            tiers.push((format!("remote.{}", remote.name()), remote.capacity_bytes()));
        }
        tiers
    }
}
