//! The names that a file gives, for texts that refer to them (`x-names` in a schema).

use super::{
    engines::{self, EngineFacts},
    tree::Node,
};

/// The names of one file.
pub(super) struct Names<'a> {
    /// `None` where the file has no table of engines: then nothing is said about references.
    pub(super) engines: Option<Vec<EngineFacts<'a>>>,
}

/// The names of one kind.
pub(super) struct Known {
    pub(super) names: Vec<String>,
    /// Beginnings of names about which nothing can be said, since what they belong to has a mistake of its own.
    open: Vec<String>,
    /// Names that exist, but not for this purpose, with the reason.
    refused: Vec<(String, &'static str)>,
}

impl Known {
    /// Whether the file has this name, as far as can be said.
    pub(super) fn has(&self, text: &str) -> bool {
        self.names.iter().any(|name| name == text)
            || self.open.iter().any(|open| text.starts_with(open.as_str()))
    }

    /// The names of the engine that the text begins with, or all.
    pub(super) fn like(&self, text: &str) -> Vec<&str> {
        let engine = text.split_once('.').map(|(engine, _)| format!("{engine}."));
        let all = || self.names.iter().map(String::as_str);
        let like: Vec<&str> = all()
            .filter(|name| {
                engine
                    .as_ref()
                    .is_some_and(|engine| name.starts_with(engine.as_str()))
            })
            .collect();
        if like.is_empty() {
            all().collect()
        } else {
            like
        }
    }

    /// Why a name of the file does not serve here.
    pub(super) fn refusal(&self, text: &str) -> Option<&'static str> {
        self.refused
            .iter()
            .find(|(name, _)| name == text)
            .map(|&(_, reason)| reason)
    }
}

/// What a kind of name is called in "expected …".
pub(super) fn expected(kind: &str) -> &'static str {
    match kind {
        "engine" => "an engine of this file",
        "process" => "a process of this file (`ENGINE`, `ENGINE.lmcache` or `ENGINE.remote`)",
        "sized-tier" => "a tier of this file that has a capacity (`ENGINE.TIER`)",
        "disk-tier" => "a disk tier of this file (`ENGINE.local-disk`)",
        _ => "a name of this file",
    }
}

impl<'a> Names<'a> {
    /// Collects what the file names.
    pub(super) fn collect(root: &Node<'a>) -> Self {
        Self {
            engines: engines::collect(root),
        }
    }

    /// The engine of this name.
    pub(super) fn engine(&self, name: &str) -> Option<&EngineFacts<'a>> {
        self.engines
            .as_ref()?
            .iter()
            .find(|engine| engine.name == name)
    }

    /// The names of a kind; `None` where nothing can be said.
    pub(super) fn known(&self, kind: &str) -> Option<Known> {
        let engines = self.engines.as_ref()?;
        let mut known = Known {
            names: Vec::new(),
            open: Vec::new(),
            refused: Vec::new(),
        };
        for engine in engines {
            if engine.tiers.is_none() && kind != "engine" && !engine.attached {
                known.open.push(format!("{}.", engine.name));
            }
            match kind {
                "process" => {
                    known.names.extend(engine.processes());
                    self.refuse_processes(engine, &mut known);
                }
                "sized-tier" | "disk-tier" => {
                    for tier in engine.tiers.iter().flatten() {
                        let name = format!("{}.{}", engine.name, tier.name);
                        match (kind, tier.sized) {
                            ("disk-tier", _) if tier.name == "local-disk" => known.names.push(name),
                            ("sized-tier", true) => known.names.push(name),
                            ("sized-tier", false) => known
                                .refused
                                .push((name, "this tier has no capacity to be a multiple of")),
                            _ => known
                                .refused
                                .push((name, "only the files of a disk tier can be replaced")),
                        }
                    }
                }
                _ => known.names.push(engine.name.to_owned()),
            }
        }
        Some(known)
    }

    fn refuse_processes(&self, engine: &EngineFacts<'_>, known: &mut Known) {
        let name = engine.name;
        if engine.attached {
            known.refused.push((
                name.to_owned(),
                "an attached engine is not the runner's to stop",
            ));
            return;
        }
        for tier in engine.tiers.iter().flatten() {
            let reason = if tier.name.starts_with("remote.") {
                "this server runs already (`url`): it is not the runner's to stop"
            } else {
                "a tier is no process"
            };
            known.refused.push((
                format!("{name}.{}", tier.name),
                "a tier is no process; its server is `ENGINE.remote`",
            ));
            let short = tier.name.split('.').next().unwrap_or_default();
            if !known.names.contains(&format!("{name}.{short}")) {
                known.refused.push((format!("{name}.{short}"), reason));
            }
        }
        if !known.names.contains(&format!("{name}.lmcache")) && engine.tiers.is_some() {
            known.refused.push((
                format!("{name}.lmcache"),
                "this engine has no LMCache process of its own",
            ));
        }
    }
}
