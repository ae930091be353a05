//! Arguments and variables of an engine that the runner sets itself, and the key that says the same.

use super::{problem::Problems, tree::Node};
use crate::diagnostic::Diagnostic;

/// For each argument that is not the user's: what to write instead. Names as vLLM and the built-in engine spell them.
type Owned = &'static [(&'static str, &'static str)];

/// In a scenario's `args`.
pub(super) const SCENARIO_KEYS: Owned = &[
    ("--api-key", "the runner asks without a key what it starts"),
    ("--chunk-size", "write [engine.NAME.lmcache] `chunk-size`"),
    ("--enable-chunked-prefill", "write `chunked-prefill = true`"),
    ("--enable-prefix-caching", "write `backend.prefix = {}`"),
    ("--enable-prompt-tokens-details", COUNTERS),
    (
        "--gpu-memory-utilization",
        "the profile shares the device's memory (`memory-share`)",
    ),
    ("--host", "the profile says what is listened on (`host`)"),
    (
        "--kv-offloading-backend",
        "write `backend.local-cpu = { by = \"engine\", … }`",
    ),
    (
        "--kv-offloading-size",
        "write `backend.local-cpu = { by = \"engine\", … }`",
    ),
    (
        "--kv-transfer-config",
        "the runner writes it from `backend` and `lmcache`",
    ),
    ("--local-cpu", "write `backend.local-cpu`"),
    ("--local-disk", "write `backend.local-disk`"),
    ("--local-disk-path", "write `backend.local-disk`"),
    ("--model", "write `model` above the first [table]"),
    (
        "--no-enable-chunked-prefill",
        "write `chunked-prefill = false`",
    ),
    ("--no-enable-prefix-caching", "leave out `backend.prefix`"),
    (
        "--num-gpu-blocks-override",
        "write `backend.prefix = { capacity = … }`",
    ),
    ("--paced", "write [engine.NAME.paced]"),
    ("--port", PORTS),
    ("--prefix", "write `backend.prefix = { capacity = … }`"),
    (
        "--save-decode-cache",
        "write [engine.NAME.lmcache] `save-decode-cache`",
    ),
    ("--served-model-name", "the runner names the model"),
    ("--tensor-parallel-size", "write `tensor-parallel`"),
    ("--uds", PORTS),
    ("-p", PORTS),
    ("-tp", "write `tensor-parallel`"),
];

/// In a profile's `args` and in those of its `[model."NAME"]`. What a scenario's keys say stays theirs; the rest are the profile's own keys.
pub(super) const PROFILE_KEYS: Owned = &[
    ("--api-key", "the runner asks without a key what it starts"),
    ("--enable-chunked-prefill", "write `chunked-prefill = true`"),
    ("--enable-prefix-caching", BACKEND),
    ("--enable-prompt-tokens-details", COUNTERS),
    (
        "--gpu-memory-utilization",
        "write `memory-share` above the first [table]",
    ),
    ("--host", "write `host` above the first [table]"),
    ("--kv-offloading-backend", BACKEND),
    ("--kv-offloading-size", BACKEND),
    ("--kv-transfer-config", BACKEND),
    ("--max-model-len", "write [model.\"NAME\"] `max-length`"),
    ("--model", "write [model.\"NAME\"] `path`"),
    (
        "--no-enable-chunked-prefill",
        "write `chunked-prefill = false`",
    ),
    ("--no-enable-prefix-caching", BACKEND),
    ("--port", PORTS),
    ("--served-model-name", "the runner names the model"),
    ("--tensor-parallel-size", "write `tensor-parallel`"),
    (
        "--trust-remote-code",
        "write [model.\"NAME\"] `trust-remote-code = true`",
    ),
    ("--uds", PORTS),
    ("-p", PORTS),
    ("-tp", "write `tensor-parallel`"),
];

const BACKEND: &str = "a scenario's `backend` says where KV is kept";
const COUNTERS: &str = "the runner sets it: the measurement needs it";
const PORTS: &str = "the runner chooses free ports (`--ports` fixes them)";

/// Variables that the runner sets.
const VARIABLES: Owned = &[
    (
        "CUDA_VISIBLE_DEVICES",
        "the profile says which devices are taken (`devices`)",
    ),
    (
        "LMCACHE_CONFIG_FILE",
        "write LMCache's settings into [engine.NAME.lmcache] `config`",
    ),
    ("TMPDIR", "each run has its own"),
];

/// Checks `args` of an engine, a profile or a model.
pub(super) fn check(table: &Node<'_>, owned: Owned, problems: &mut Problems) {
    for argument in table.get("args").iter().flat_map(Node::elements) {
        let Some(text) = argument.text() else {
            continue;
        };
        let name = plain_name(text);
        if let Some((name, instead)) = owned.iter().find(|(owned, _)| *owned == name) {
            problems.relation(
                Diagnostic::error(argument.span(), format!("`{name}` is the runner's to set"))
                    .with_hint(*instead),
            );
        }
    }
}

/// Checks `env` of an engine or a profile.
pub(super) fn check_environment(table: &Node<'_>, problems: &mut Problems) {
    for (name, node) in table.get("env").iter().flat_map(Node::entries) {
        if let Some((name, instead)) = VARIABLES.iter().find(|(owned, _)| *owned == name) {
            problems.relation(
                Diagnostic::error(node.key_span(), format!("`{name}` is the runner's to set"))
                    .with_hint(*instead),
            );
        }
    }
}

/// `--tensor_parallel_size=2` and `--tensor-parallel-size` are the same to vLLM.
fn plain_name(argument: &str) -> String {
    let name = argument.split('=').next().unwrap_or_default();
    if name.starts_with("--") {
        name.replace('_', "-")
    } else {
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_an_argument_are_one() {
        assert_eq!(
            plain_name("--tensor_parallel_size=2"),
            "--tensor-parallel-size"
        );
        assert_eq!(plain_name("-tp"), "-tp");
        assert_eq!(plain_name("a_b=c"), "a_b");
    }

    #[test]
    fn tables_are_sorted_and_without_duplicates() {
        for owned in [SCENARIO_KEYS, PROFILE_KEYS, VARIABLES] {
            assert!(owned.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
