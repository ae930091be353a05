//! What happens to processes while requests run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    quantity::Duration,
    scenario::OneOrMany,
    schema::{mark, rule},
};

/// Something that happens to a process while requests run, in every trial: one time, one action.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("allOf" = [
    rule::exactly_one(&["at", "after-request"], "an event fires once a trial"),
    rule::exactly_one(&["restart", "kill", "pause", "resume", "corrupt"], "one action an event; write a second [[event]] for another"),
]))]
pub struct Event {
    /// When, from a trial's first intended request.
    pub at: Option<Duration>,
    /// Instead of `at`: after this many requests are done.
    #[schemars(transform = mark::positive)]
    pub after_request: Option<u32>,
    /// Stops in order and starts again: `ENGINE`, `ENGINE.lmcache`, `ENGINE.remote`, or of Sentinels `.remote.master`, `.remote.replica`, `.remote.sentinel-1`.
    #[schemars(transform = mark::names("process"))]
    pub restart: Option<OneOrMany<String>>,
    /// Kills outright.
    #[schemars(transform = mark::names("process"))]
    pub kill: Option<OneOrMany<String>>,
    /// Freezes (SIGSTOP).
    #[schemars(transform = mark::names("process"))]
    pub pause: Option<OneOrMany<String>>,
    /// Thaws (SIGCONT).
    #[schemars(transform = mark::names("process"))]
    pub resume: Option<OneOrMany<String>>,
    /// Replaces a disk tier's files by other bytes of the same size: `ENGINE.local-disk`.
    #[schemars(transform = mark::names("disk-tier"))]
    pub corrupt: Option<String>,
    /// The schedule waits until the target is ready again.
    #[serde(default)]
    pub hold: bool,
}
