//! The script of a paced engine: a scenario's `paced` table in a file of its own.

use std::path::Path;

use schemas::scenario::{Paced, PacedFailure};

use crate::error::EngineError;
use crate::metrics::Lookup;
use crate::tiers::TierKind;

/// Times and failures to act out.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Script {
    base_latency_ns: u64,
    pub(crate) time_per_output_token_ns: u64,
    /// Nanoseconds for a prompt token that is in no tier.
    prefill_ns_per_token: f64,
    /// Nanoseconds for a prompt token that is loaded, by tier.
    load_ns_per_token: [f64; 3],
    /// Standard deviation of the logarithm of every time.
    pub(crate) jitter: f64,
    failures: Vec<PacedFailure>,
}

impl Script {
    /// Reads a script; the name of a JSON file ends with `.json`, every other file is TOML.
    ///
    /// # Errors
    /// When the file cannot be read, has an unknown key or a value that makes no sense.
    pub(crate) fn read(path: &Path, kv_bytes_per_token: u64) -> Result<Self, EngineError> {
        let text = std::fs::read_to_string(path).map_err(|source| EngineError::io(path, source))?;
        let paced: Paced = if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            serde_json::from_str(&text).map_err(|source| EngineError::Json {
                path: path.to_owned(),
                source,
            })?
        } else {
            toml::from_str(&text).map_err(|source| EngineError::Script {
                path: path.to_owned(),
                source: Box::new(source),
            })?
        };
        Self::new(&paced, kv_bytes_per_token).map_err(|reason| EngineError::ScriptValue {
            path: path.to_owned(),
            reason,
        })
    }

    fn new(paced: &Paced, kv_bytes_per_token: u64) -> Result<Self, String> {
        let mut load_ns_per_token = [0.0; 3];
        for (name, bytes_per_second) in &paced.load_bytes_per_second {
            let Some(kind) = TierKind::ALL.into_iter().find(|kind| kind.name() == name) else {
                return Err(format!(
                    "load-bytes-per-second names {name}, which is no tier of this engine"
                ));
            };
            load_ns_per_token[kind as usize] =
                ns_each(kv_bytes_per_token as f64, *bytes_per_second, name)?;
        }
        let prefill = paced.prefill_tokens_per_second;
        let jitter = paced.jitter.unwrap_or(0.0);
        if !(jitter.is_finite() && jitter >= 0.0) {
            return Err(format!("jitter is {jitter}, not a share of 0 or more"));
        }
        Ok(Self {
            base_latency_ns: paced.base_latency.map_or(0, |duration| duration.0),
            time_per_output_token_ns: paced.time_per_output_token.map_or(0, |duration| duration.0),
            prefill_ns_per_token: prefill.map_or(Ok(0.0), |rate| {
                ns_each(1.0, rate, "prefill-tokens-per-second")
            })?,
            load_ns_per_token,
            jitter,
            failures: paced.fail.clone(),
        })
    }

    /// Nanoseconds from arrival to first token for a prompt of which this much was found.
    pub(crate) fn first_token_ns(&self, lookup: &Lookup) -> f64 {
        let computed = lookup.prompt_tokens - lookup.cached_tokens();
        let loads = lookup
            .hit_tokens
            .iter()
            .zip(self.load_ns_per_token)
            .map(|(tokens, ns)| *tokens as f64 * ns);
        self.base_latency_ns as f64
            + computed as f64 * self.prefill_ns_per_token
            + loads.sum::<f64>()
    }

    /// The failure of a request by its number, from 0.
    pub(crate) fn failure(&self, request: u64) -> Option<&PacedFailure> {
        self.failures
            .iter()
            .find(|failure| failure.request == request)
    }
}

/// Nanoseconds for `amount` at `rate` a second.
fn ns_each(amount: f64, rate: f64, name: &str) -> Result<f64, String> {
    if rate.is_nan() || rate <= 0.0 {
        return Err(format!("{name} is {rate}, not a rate above 0"));
    }
    Ok(amount * 1e9 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "prefill-tokens-per-second = 10000\ntime-per-output-token = \"10ms\"\nbase-latency = \"50ms\"\n\
                        load-bytes-per-second = { local-cpu = 1e9 }\njitter = 0.1\n\
                        fail = [{ request = 3, how = \"cut\", after-events = 2 }]\n";

    fn read(name: &str, text: &str) -> Result<Script, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Script::read(&path, 1000).map_err(|error| error.to_string())
    }

    #[test]
    fn times_add_up() {
        let script = read("s.toml", TEXT).unwrap();
        let mut lookup = Lookup {
            prompt_tokens: 1000,
            ..Lookup::default()
        };
        assert_eq!(script.first_token_ns(&lookup), 150e6);
        lookup.hit(TierKind::LocalCpu, 500);
        assert_eq!(script.first_token_ns(&lookup), 50e6 + 50e6 + 0.5e6);
        lookup.hit(TierKind::Prefix, 500);
        assert_eq!(script.first_token_ns(&lookup), 50e6 + 0.5e6);
        assert_eq!(script.failure(3).unwrap().after_events, 2);
        assert!(script.failure(2).is_none());
    }

    #[test]
    fn json_says_the_same() {
        let paced: Paced = toml::from_str(TEXT).unwrap();
        let json = serde_json::to_string(&paced).unwrap();
        assert_eq!(
            read("s.json", &json).unwrap(),
            read("s.toml", TEXT).unwrap()
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("prefill = 1", "prefill"),
            (
                "prefill-tokens-per-second = 0.0",
                "prefill-tokens-per-second",
            ),
            ("load-bytes-per-second = { remote = 1.0 }", "remote"),
            ("jitter = -1.0", "jitter"),
        ] {
            let message = read("s.toml", text).unwrap_err();
            assert!(
                message.contains("s.toml") && message.contains(word),
                "{message}"
            );
        }
    }
}
