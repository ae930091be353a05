//! Engine adapters: (engine, backend, profile) becomes processes to launch, as data. Nothing else knows what an engine's command line is.

mod builtin;
mod lmcache;
mod remote;
mod vllm;

use indexmap::IndexMap;
use schemas::{
    plan::{AttachPlan, EnginePlan, Model, Tier},
    profile::{ModelSettings, Profile, Residency},
    scenario::{Backend, Engine, EngineKind},
};

use crate::interpreter::Search;

/// Tokens that LMCache and the built-in engine find and load as one.
pub const CHUNK_TOKENS: u32 = 256;

/// One engine of a scenario, with everything an adapter may look at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Name in the scenario file.
    pub name: &'a str,
    /// Place in the scenario file.
    pub index: usize,
    /// As the scenario says.
    pub engine: &'a Engine,
    /// The model as it will be used.
    pub model: &'a Model,
    /// How scenarios run on this host.
    pub profile: &'a Profile,
    /// What was found of the profile's interpreter.
    pub python: &'a Search,
    /// Accelerators of this host.
    pub devices: usize,
    /// Those that engines before this one have to themselves.
    pub devices_taken: u32,
    /// Engines of the scenario that this host starts, this one included.
    pub together: usize,
    /// `-p`: the port that the engine has to take.
    pub fixed_port: Option<u16>,
    /// The plan's seed.
    pub seed: u64,
}

impl<'a> Request<'a> {
    /// The profile's settings for the declared model.
    fn settings(&self) -> Option<&'a ModelSettings> {
        self.profile.model.get(&self.model.declared)
    }

    /// The profile's own arguments and environment, which are for engines of its kind only.
    fn extras(&self, kind: EngineKind) -> (&'a [String], IndexMap<String, String>) {
        if kind == self.profile.engine {
            (&self.profile.args, self.profile.env.clone())
        } else {
            (&[], IndexMap::new())
        }
    }

    /// Engines take accelerators here; otherwise they run on the CPU.
    fn on_devices(&self) -> bool {
        self.profile.memory_share.is_some() || self.profile.devices.is_some()
    }

    /// Devices, or on a CPU workers, that share each layer; null for the engine's default of one.
    fn tensor_parallel(&self) -> Option<u32> {
        let settings = self.settings();
        self.engine
            .tensor_parallel
            .or_else(|| settings?.tensor_parallel)
    }

    /// How many accelerators it takes; 0 on a CPU.
    fn wanted_devices(&self) -> u32 {
        if self.on_devices() {
            self.tensor_parallel().unwrap_or(1)
        } else {
            0
        }
    }

    /// Which those are. Empty where it takes the first that it sees, as engines do by themselves: the host's scheduler may have chosen them.
    fn device_indices(&self) -> Result<Vec<u32>, String> {
        let wanted = self.wanted_devices();
        let taken = self.devices_taken;
        let (usable, said): (Vec<u32>, _) = match &self.profile.devices {
            Some(named) => (named.clone(), "the profile names"),
            // On a host without any, a plan for such a host can still be looked at; it is refused before it would run.
            None if self.devices == 0 => ((0..taken + wanted).collect(), "found"),
            None => ((0..self.devices as u32).collect(), "found"),
        };
        let own = usable.get(taken as usize..(taken + wanted) as usize);
        let own = own.ok_or_else(|| {
            let beside = match taken {
                0 => String::new(),
                taken => format!(" beside {taken} of the engines before it"),
            };
            format!("needs {wanted} devices{beside}, {said} {}", usable.len())
        })?;
        let chosen =
            self.profile.devices.is_some() || self.profile.residency == Residency::SideBySide;
        Ok(if chosen { own.to_vec() } else { Vec::new() })
    }

    /// The directory of the disk tier: the scenario's, or one in the run folder.
    fn disk_path(&self, backend: &Backend) -> Option<String> {
        let disk = backend.local_disk.as_ref()?;
        let path = disk.path.clone();
        Some(path.unwrap_or_else(|| format!("{{run}}/data/{}", self.name)))
    }

    /// Tokens that LMCache finds and loads as one.
    fn lmcache_chunk_tokens(&self) -> u32 {
        let lmcache = self.engine.lmcache.as_ref();
        lmcache
            .and_then(|lmcache| lmcache.chunk_size)
            .unwrap_or(CHUNK_TOKENS)
    }

    /// This engine's share of its device's memory.
    fn memory_share(&self) -> Option<f64> {
        let engines = match self.profile.residency {
            Residency::Resident => self.together.max(1),
            Residency::InTurn | Residency::SideBySide => 1,
        };
        Some(self.profile.memory_share? / engines as f64)
    }
}

/// An engine that can run here.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// With its launches.
    pub engine: EnginePlan,
    /// What a user should know.
    pub warnings: Vec<String>,
}

/// An engine that cannot run here: planned, counted and shown, without launches.
#[derive(Debug, Clone, PartialEq)]
pub struct Unsupported {
    /// Without launches.
    pub engine: EnginePlan,
    /// In words, for a user.
    pub reason: String,
}

/// Plans one engine.
///
/// # Errors
/// [`Unsupported`], with the reason.
pub fn plan(request: &Request<'_>) -> Result<Planned, Box<Unsupported>> {
    let engine = shell(request);
    let planned = if request.engine.attach.is_some() {
        Ok((engine.clone(), Vec::new()))
    } else {
        match engine.kind {
            Some(EngineKind::Builtin) => {
                builtin::launches(request).map(|(launches, promises_hits)| {
                    (
                        EnginePlan {
                            launches,
                            promises_hits,
                            ..engine.clone()
                        },
                        Vec::new(),
                    )
                })
            }
            Some(EngineKind::Vllm) => request.device_indices().and_then(|device_indices| {
                let (launches, warnings) = vllm::launches(request, &device_indices)?;
                let planned = EnginePlan {
                    launches,
                    devices: request.wanted_devices(),
                    device_indices,
                    telltales: lmcache_telltales(request.engine),
                    ..engine.clone()
                };
                Ok((planned, warnings))
            }),
            None => Err("an engine that is started needs a kind".to_owned()),
        }
    };
    match planned {
        Ok((engine, warnings)) => Ok(Planned { engine, warnings }),
        Err(reason) => Err(Box::new(Unsupported { engine, reason })),
    }
}

/// What is known of an engine before its adapter looks at it.
fn shell(request: &Request<'_>) -> EnginePlan {
    let kind = match &request.engine.attach {
        Some(_) => None,
        None => Some(request.engine.kind.unwrap_or_else(|| {
            if request.model.used.starts_with("builtin:") {
                EngineKind::Builtin
            } else {
                request.profile.engine
            }
        })),
    };
    let tiers = request
        .engine
        .backend
        .as_ref()
        .map(|backend| tiers(request, backend))
        .unwrap_or_default();
    let baseline = request
        .engine
        .backend
        .as_ref()
        .is_some_and(|backend| backend.none.is_some());
    EnginePlan {
        name: request.name.to_owned(),
        kind,
        backend: describe(request.engine.backend.as_ref(), &tiers),
        promises_hits: !tiers.is_empty(),
        tiers,
        baseline,
        chunk_tokens: chunk_tokens(request, kind),
        paced: request.engine.paced.is_some(),
        devices: 0,
        device_indices: Vec::new(),
        telltales: Vec::new(),
        launches: Vec::new(),
        attach: request.engine.attach.as_ref().map(|attach| AttachPlan {
            url: attach.url.clone(),
            api_key_env: attach.api_key_env.clone(),
        }),
    }
}

/// Tokens that the engine's tiers find as one.
fn chunk_tokens(request: &Request<'_>, kind: Option<EngineKind>) -> u32 {
    let only_prefix = request.engine.backend.as_ref().is_some_and(|backend| {
        backend.prefix.is_some()
            && backend.local_cpu.is_none()
            && backend.local_disk.is_none()
            && backend.remote.is_none()
    });
    if kind == Some(EngineKind::Vllm) && only_prefix {
        return vllm::block_tokens(request);
    }
    request.lmcache_chunk_tokens()
}

fn lmcache_telltales(engine: &Engine) -> Vec<String> {
    let kept = engine.backend.as_ref().is_some_and(lmcache::has_tiers);
    let telltales = lmcache::TELLTALES.iter().filter(|_| kept);
    telltales.map(|text| (*text).to_owned()).collect()
}

/// The stack near to far.
fn tiers(request: &Request<'_>, backend: &Backend) -> Vec<Tier> {
    let tiers = backend.tiers().into_iter();
    tiers
        .map(|(name, capacity_bytes)| Tier {
            path: (name == "local-disk")
                .then(|| request.disk_path(backend))
                .flatten(),
            name,
            capacity_bytes,
        })
        .collect()
}

fn describe(backend: Option<&Backend>, tiers: &[Tier]) -> String {
    match backend {
        None => "unknown".to_owned(),
        Some(_) if tiers.is_empty() => "none".to_owned(),
        Some(_) => {
            let words = tiers.iter().map(|tier| match tier.capacity_bytes {
                Some(bytes) => format!("{} {}", tier.name, schemas::quantity::Bytes(bytes)),
                None => tier.name.clone(),
            });
            words.collect::<Vec<_>>().join(" + ")
        }
    }
}
