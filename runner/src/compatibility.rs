//! Which versions of vLLM and LMCache go together: what was measured with, and what is known not to work.

use std::str::FromStr as _;

use indexmap::IndexMap;
use pep440_rs::Version;
use schemas::plan::{EnginePlan, Plan};

use crate::{plan::running_engines, versions};

/// vLLM and LMCache as they ran together: on an H100, and on a CPU.
const RAN: [(&str, &str); 2] = [("0.24.0", "0.5.0"), ("0.32.0", "0.5.6")];

/// How an engine reaches LMCache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connector {
    /// `LMCacheConnectorV1`.
    InProcess,
    /// `LMCacheMPConnector`.
    Server,
}

/// What is to be said of versions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is known not to work, and why.
    Incompatible(String),
    /// Nobody tried.
    Untested(String),
}

/// What is to be said of the versions that a plan's engines would run on, each thing once.
pub fn findings(plan: &Plan, found: &IndexMap<String, String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for index in running_engines(plan) {
        if versions::interpreter(plan, index).is_none() {
            continue;
        }
        let finding = judge(found, connector(&plan.engines[index]));
        findings.extend(finding.filter(|finding| !findings.contains(finding)));
    }
    findings
}

/// The connector that an engine's command line names.
fn connector(engine: &EnginePlan) -> Option<Connector> {
    let command = &engine.launches.last()?.command;
    let names = |name: &str| command.iter().any(|argument| argument.contains(name));
    if names("LMCacheMPConnector") {
        Some(Connector::Server)
    } else if names("LMCacheConnectorV1") {
        Some(Connector::InProcess)
    } else {
        None
    }
}

/// Judges the versions of `vllm` and, where a connector uses it, `lmcache`. Nothing to say of what ran, or where there is no vLLM, which is told elsewhere.
pub fn judge(found: &IndexMap<String, String>, connector: Option<Connector>) -> Option<Finding> {
    let vllm_name = found.get("vllm")?;
    let Some(connector) = connector else {
        let ran = RAN.iter().any(|(vllm, _)| is(vllm_name, vllm));
        return (!ran).then(|| untested(format!("vLLM {vllm_name}")));
    };
    let Some(lmcache_name) = found.get("lmcache") else {
        let text = format!("vLLM {vllm_name} is there and LMCache is not");
        return Some(Finding::Incompatible(text));
    };
    if let Some(reason) = known_not_to_work(vllm_name, lmcache_name, connector) {
        let text = format!("vLLM {vllm_name} and LMCache {lmcache_name} do not fit: {reason}");
        return Some(Finding::Incompatible(text));
    }
    let ran = RAN
        .iter()
        .any(|(vllm, lmcache)| is(vllm_name, vllm) && is(lmcache_name, lmcache));
    (!ran).then(|| untested(format!("vLLM {vllm_name} with LMCache {lmcache_name}")))
}

fn untested(what: String) -> Finding {
    let ran = RAN.map(|(vllm, lmcache)| format!("vLLM {vllm} with LMCache {lmcache}"));
    Finding::Untested(format!(
        "nobody tried {what} with this suite; what ran: {}",
        ran.join(", ")
    ))
}

/// Whether it is this release, whatever it was built for (`0.32.0+cpu`).
fn is(name: &str, release: &str) -> bool {
    let version = Version::from_str(name).map(Version::without_local);
    version.is_ok_and(|version| version.to_string() == release)
}

fn known_not_to_work(vllm: &str, lmcache: &str, connector: Connector) -> Option<&'static str> {
    // A version that cannot be read is one that nobody tried.
    let vllm = Version::from_str(vllm).ok()?;
    let lmcache = Version::from_str(lmcache).ok()?;
    let older = |version: &Version, release: [u64; 3]| *version < Version::new(release);
    match connector {
        Connector::InProcess if older(&vllm, [0, 9, 0]) => {
            Some("LMCacheConnectorV1 came with vLLM 0.9.0")
        }
        // https://github.com/LMCache/LMCache/issues/3957
        Connector::Server if !older(&lmcache, [0, 5, 0]) && older(&vllm, [0, 23, 0]) => {
            Some("the server's connector of LMCache 0.5 needs vLLM 0.23.0 or later")
        }
        // https://github.com/LMCache/LMCache/issues/3281; its mending came after 0.4.5.
        Connector::Server if older(&lmcache, [0, 4, 6]) && !older(&vllm, [0, 20, 0]) => Some(
            "up to LMCache 0.4.5 its server stores nothing of vLLM 0.20.0 and later (“Unsupported GPUKVFormat”)",
        ),
        Connector::InProcess | Connector::Server => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(vllm: &str, lmcache: Option<&str>) -> IndexMap<String, String> {
        let lmcache = lmcache.map(|version| ("lmcache".to_owned(), version.to_owned()));
        std::iter::once(("vllm".to_owned(), vllm.to_owned()))
            .chain(lmcache)
            .collect()
    }

    fn incompatible(vllm: &str, lmcache: Option<&str>, connector: Connector) -> bool {
        matches!(
            judge(&found(vllm, lmcache), Some(connector)),
            Some(Finding::Incompatible(_))
        )
    }

    #[test]
    fn nothing_is_said_of_what_ran() {
        for connector in [None, Some(Connector::InProcess), Some(Connector::Server)] {
            assert_eq!(judge(&found("0.24.0", Some("0.5.0")), connector), None);
            assert_eq!(judge(&found("0.32.0+cpu", Some("0.5.6")), connector), None);
        }
        assert_eq!(judge(&found("0.24.0", None), None), None);
        assert_eq!(judge(&IndexMap::new(), Some(Connector::Server)), None);
    }

    #[test]
    fn what_nobody_tried_is_said_and_allowed() {
        let text = "nobody tried vLLM 0.24.0 with LMCache 0.5.6 with this suite; what ran: vLLM 0.24.0 with LMCache 0.5.0, vLLM 0.32.0 with LMCache 0.5.6";
        assert_eq!(
            judge(&found("0.24.0", Some("0.5.6")), Some(Connector::Server)),
            Some(Finding::Untested(text.to_owned()))
        );
        for vllm in ["0.31.0", "0.24.0rc1", "0.24.0.dev3+g1234", "of my own"] {
            let finding = judge(&found(vllm, None), None);
            assert!(matches!(finding, Some(Finding::Untested(_))), "{vllm}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(incompatible("0.24.0", None, Connector::Server));
        assert!(incompatible("0.8.5", Some("0.2.0"), Connector::InProcess));
        assert!(incompatible("0.20.1", Some("0.5.0"), Connector::Server));
        assert!(incompatible("0.21.0", Some("0.4.4"), Connector::Server));
        assert!(!incompatible("0.20.1", Some("0.5.0"), Connector::InProcess));
        assert!(!incompatible("0.23.0", Some("0.5.0"), Connector::Server));
        assert!(!incompatible("0.21.0", Some("0.4.7"), Connector::Server));
        assert!(!incompatible("of my own", Some("0.5.0"), Connector::Server));
    }
}
