//! Which model is declared, which one is used, and what is known of it.

use schemas::{profile::Profile, scenario::Scenario};

/// Facts about a model, read from its files before planning.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelFacts {
    /// Bytes of KV cache per token over all layers.
    pub kv_bytes_per_token: Option<u64>,
    /// Longest prompt and output together.
    pub max_length: Option<u32>,
    /// Number format of weights and KV values.
    pub dtype: Option<String>,
    /// There are no trained weights.
    pub random_weights: bool,
    /// There are no weights at all, not even random ones.
    pub weights_missing: bool,
}

/// A model's names after the precedence scenario > model settings > profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// As the scenario or `-m` says.
    pub declared: String,
    /// What engines get: `builtin:NAME`, a directory, or a hub name.
    pub used: String,
    /// A cap on its length by the profile's settings.
    pub max_length: Option<u32>,
}

impl ModelName {
    /// The name that requests carry.
    pub fn served_name(&self) -> String {
        self.declared.clone()
    }
}

/// Applies the precedence. What a scenario states as `builtin:` no profile replaces.
pub fn resolve(scenario: &Scenario, profile: &Profile, override_model: Option<&str>) -> ModelName {
    let declared = override_model
        .or(scenario.model.as_deref())
        .or(profile.default_model.as_deref())
        .unwrap_or("builtin:tiny")
        .to_owned();
    let settings = profile.model.get(&declared);
    let local =
        declared.starts_with("builtin:") || declared.starts_with('.') || declared.starts_with('/');
    let used = settings
        .and_then(|settings| settings.path.clone())
        .or_else(|| {
            if local {
                None
            } else {
                profile.stand_in.clone()
            }
        })
        .unwrap_or_else(|| declared.clone());
    ModelName {
        max_length: settings.and_then(|settings| settings.max_length),
        declared,
        used,
    }
}
