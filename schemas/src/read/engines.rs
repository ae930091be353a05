//! What a file says of its engines, as far as it can be read: enough for references and for rules between tables.

use super::tree::Node;

/// One engine of the file.
pub(super) struct EngineFacts<'a> {
    pub(super) name: &'a str,
    pub(super) node: Node<'a>,
    /// `kind`, where it is stated.
    pub(super) kind: Option<&'a str>,
    /// It runs already.
    pub(super) attached: bool,
    /// `backend.none`.
    pub(super) none: bool,
    /// Its tiers; `None` where the backend is absent or has a mistake, so that nothing can be said.
    pub(super) tiers: Option<Vec<TierFacts>>,
    /// `lmcache.mode`, where it is stated.
    lmcache_mode: Option<&'a str>,
    /// A remote tier whose server the runner starts.
    own_remote: Option<&'a str>,
}

/// One tier of an engine.
pub(super) struct TierFacts {
    /// As [`crate::scenario::Backend::tiers`] names it.
    pub(super) name: String,
    /// It has a capacity.
    pub(super) sized: bool,
    /// LMCache keeps it.
    pub(super) by_lmcache: bool,
}

/// The engines in the order of the file; `None` where there is no table of engines.
pub(super) fn collect<'a>(root: &Node<'a>) -> Option<Vec<EngineFacts<'a>>> {
    let engines = root.get("engine")?;
    engines.value().as_table()?;
    Some(
        engines
            .entries()
            .into_iter()
            .map(|(name, node)| facts(name, node))
            .collect(),
    )
}

fn facts<'a>(name: &'a str, node: Node<'a>) -> EngineFacts<'a> {
    let backend = node.get("backend");
    let remote = node.at(&["backend", "remote"]);
    let own_remote = remote.as_ref().and_then(|remote| {
        let (kind, server) = remote.entries().into_iter().next()?;
        server.get("url").is_none().then_some(kind)
    });
    EngineFacts {
        name,
        kind: node.get("kind").and_then(|kind| kind.text()),
        attached: node.get("attach").is_some(),
        none: backend
            .as_ref()
            .is_some_and(|backend| backend.get("none").is_some()),
        tiers: backend.as_ref().and_then(tiers),
        lmcache_mode: node.at(&["lmcache", "mode"]).and_then(|mode| mode.text()),
        own_remote,
        node,
    }
}

fn tiers(backend: &Node<'_>) -> Option<Vec<TierFacts>> {
    backend.value().as_table()?;
    let mut tiers = Vec::new();
    for (key, tier) in backend.entries() {
        let sized = |node: &Node<'_>| node.get("capacity").is_some();
        match key {
            "none" => {}
            "prefix" => tiers.push(TierFacts {
                name: key.to_owned(),
                sized: sized(&tier),
                by_lmcache: false,
            }),
            "local-cpu" | "local-disk" => {
                let by_lmcache = tier.get("by").and_then(|by| by.text()) != Some("engine");
                tiers.push(TierFacts {
                    name: key.to_owned(),
                    sized: sized(&tier),
                    by_lmcache,
                });
            }
            "remote" => {
                for (kind, server) in tier.entries() {
                    tiers.push(TierFacts {
                        name: format!("remote.{kind}"),
                        sized: sized(&server),
                        by_lmcache: true,
                    });
                }
            }
            _ => return None,
        }
    }
    Some(tiers)
}

impl EngineFacts<'_> {
    /// Whether a tier has this name; `None` where the tiers are not known.
    pub(super) fn has_tier(&self, name: &str) -> Option<bool> {
        Some(self.tiers.as_ref()?.iter().any(|tier| tier.name == name))
    }

    /// Whether LMCache keeps one of its tiers; `None` where the tiers are not known.
    pub(super) fn uses_lmcache(&self) -> Option<bool> {
        if self.kind == Some("builtin") {
            return Some(false);
        }
        Some(self.tiers.as_ref()?.iter().any(|tier| tier.by_lmcache))
    }

    /// The processes of this engine that the runner starts, as events name them. A profile may still start fewer.
    pub(super) fn processes(&self) -> Vec<String> {
        if self.attached {
            return Vec::new();
        }
        let mut processes = vec![self.name.to_owned()];
        if self.uses_lmcache() == Some(true) && self.lmcache_mode != Some("in-process") {
            processes.push(format!("{}.lmcache", self.name));
        }
        if let Some(kind) = self.own_remote {
            processes.push(format!("{}.remote", self.name));
            if kind == "redis-sentinel" {
                let parts = [
                    "master",
                    "replica",
                    "sentinel-1",
                    "sentinel-2",
                    "sentinel-3",
                ];
                processes.extend(parts.map(|part| format!("{}.remote.{part}", self.name)));
            }
        }
        processes
    }
}
