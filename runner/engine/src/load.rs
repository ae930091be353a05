//! From arguments to a service: model, tokenizer, tiers and the thread or clock that answers.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

use crate::api::{Backend, Service};
use crate::args::{EngineArgs, LoadFormat};
use crate::chat::ChatTemplate;
use crate::error::EngineError;
use crate::hash::ChunkHash;
use crate::kv::{KvLayout, KvPool};
use crate::metrics::Metrics;
use crate::model::config::ModelConfig;
use crate::model::kernel::TILE_COLUMNS;
use crate::model::llama::Llama;
use crate::model::weights::{Weights, identity};
use crate::paced::engine::PacedEngine;
use crate::paced::script::Script;
use crate::paced::timer::Timer;
use crate::scheduler::Scheduler;
use crate::scheduler::prefix::PrefixCache;
use crate::scheduler::sampling::Vocabulary;
use crate::tiers::TierKind;
use crate::tiers::cpu::CpuTier;
use crate::tiers::disk::DiskTier;
use crate::tiers::lru::Lru;
use crate::tiers::stack::LocalTiers;

/// KV memory for running requests when no capacity is given.
const DEFAULT_KV_BYTES: u64 = 2 << 30;

/// A service, and what ends with the thread under it.
pub(crate) struct Loaded {
    pub(crate) service: Service,
    /// Ends when the compute thread does; `None` in the paced mode.
    pub(crate) stopped: Option<oneshot::Receiver<()>>,
}

/// Where model files are, or that there are none.
enum Source {
    Builtin,
    Directory(PathBuf),
}

/// What is known before weights are read.
struct Plan {
    source: Source,
    config: ModelConfig,
    layout: KvLayout,
    chunk_bytes: u64,
    pool_blocks: usize,
    max_model_len: usize,
    metrics: Arc<Metrics>,
    codec: TextCodecAndTemplate,
}

type TextCodecAndTemplate = (crate::tokenizer::TextCodec, Option<ChatTemplate>);

/// Loads everything. `timer` and `exit` are for the paced mode.
///
/// # Errors
/// When arguments contradict each other, a file is missing or wrong, or a thread cannot be started.
pub(crate) fn load(
    args: &EngineArgs,
    paced: Option<(Arc<Timer>, UnboundedSender<u64>)>,
) -> Result<Loaded, EngineError> {
    let plan = Plan::new(args)?;
    match (&args.paced, paced) {
        (Some(path), Some((timer, exit))) => plan.paced(args, path, timer, exit),
        _ => plan.computed(args),
    }
}

impl Plan {
    fn new(args: &EngineArgs) -> Result<Self, EngineError> {
        let (source, config, codec) = if args.model.starts_with("builtin:") {
            let config = ModelConfig::builtin(&args.model)
                .ok_or_else(|| EngineError::UnknownModel(args.model.clone()))?;
            let codec = (
                crate::tokenizer::TextCodec::builtin()?,
                Some(ChatTemplate::builtin()?),
            );
            (Source::Builtin, config, codec)
        } else {
            let path = PathBuf::from(&args.model);
            let config = ModelConfig::read(&path)?;
            let codec = (
                crate::tokenizer::TextCodec::read(&path)?,
                ChatTemplate::read(&path)?,
            );
            (Source::Directory(path), config, codec)
        };
        if args.chunk_size == 0 || !args.chunk_size.is_multiple_of(TILE_COLUMNS) {
            let message = format!(
                "--chunk-size is {}, not a multiple of {TILE_COLUMNS}",
                args.chunk_size
            );
            return Err(EngineError::Arguments(message));
        }
        if args.max_batch == 0 || args.threads == Some(0) {
            return Err(EngineError::Arguments(
                "--max-batch and --threads must be at least 1".to_owned(),
            ));
        }
        let layout = KvLayout::new(&config.shape, args.chunk_size);
        let chunk_bytes = layout.block_bytes();
        let positions = config
            .shape
            .max_positions
            .min(args.max_model_len.unwrap_or(usize::MAX));
        // Without a stated capacity at least the longest request must fit.
        let longest = positions.div_ceil(args.chunk_size) as u64;
        let blocks = args.prefix.map_or_else(
            || (DEFAULT_KV_BYTES / chunk_bytes).max(longest),
            |bytes| bytes / chunk_bytes,
        );
        let pool_blocks = usize::try_from(blocks).unwrap_or(usize::MAX);
        let max_model_len = if args.paced.is_some() {
            positions
        } else {
            positions.min(pool_blocks.saturating_mul(args.chunk_size))
        };
        if max_model_len < 2 {
            let message = format!("no request fits: a chunk of KV cache takes {chunk_bytes} bytes");
            return Err(EngineError::Arguments(message));
        }
        let metrics = Arc::new(Metrics::new(
            args.served_model_name.as_ref().unwrap_or(&args.model),
        ));
        metrics
            .kv_bytes_per_token
            .set(config.shape.kv_bytes_per_token);
        metrics.kv_blocks.set(pool_blocks as u64);
        Ok(Self {
            source,
            config,
            layout,
            chunk_bytes,
            pool_blocks,
            max_model_len,
            metrics,
            codec,
        })
    }

    /// Opens the tiers outside the engine's memory; `values_bytes` of a chunk are stored in a file.
    fn tiers(&self, args: &EngineArgs) -> Result<LocalTiers, EngineError> {
        let metrics = || Arc::clone(&self.metrics);
        let cpu = args
            .local_cpu
            .map(|capacity| CpuTier::new(capacity, self.chunk_bytes, metrics()));
        let disk = args.local_disk.zip(args.local_disk_path.clone());
        let disk = disk
            .map(|(capacity, path)| DiskTier::open(path, capacity, self.chunk_bytes, metrics()))
            .transpose()?;
        LocalTiers::start(cpu, disk)
    }

    fn service(self, args: &EngineArgs, backend: Backend) -> Service {
        let (codec, template) = self.codec;
        Service {
            model: args
                .served_model_name
                .clone()
                .unwrap_or_else(|| args.model.clone()),
            codec,
            template,
            max_model_len: self.max_model_len,
            vocab_size: self.config.shape.vocab_size,
            seed: args.seed,
            backend,
            metrics: self.metrics,
            answers: AtomicU64::new(0),
        }
    }

    fn computed(self, args: &EngineArgs) -> Result<Loaded, EngineError> {
        let random = |seed| (Weights::Random { seed }, format!("random {seed}"));
        let (weights, name, folder) = match &self.source {
            Source::Directory(path) if args.load_format == LoadFormat::Auto => {
                let (weights, name) = Weights::read(path)?;
                (weights, name, path.as_path())
            }
            Source::Directory(_) | Source::Builtin => {
                let (weights, name) = random(args.seed);
                (weights, name, Path::new(&args.model))
            }
        };
        let model = Llama::load(&self.config, args.chunk_size, weights).map_err(|source| {
            EngineError::Weights {
                path: folder.to_owned(),
                source,
            }
        })?;
        self.metrics.weight_bytes.set(model.weight_bytes());
        let pool = KvPool::new(&self.layout, self.pool_blocks);
        let prefix = args
            .prefix
            .map(|_| PrefixCache::new(&pool, self.chunk_bytes, Arc::clone(&self.metrics)));
        let scheduler = Scheduler {
            model,
            layout: self.layout,
            pool,
            prefix,
            tiers: self.tiers(args)?,
            save_decode_cache: args.save_decode_cache,
            root: ChunkHash::root(
                format!("{}\n{}", identity(&self.config, &name), args.chunk_size).as_bytes(),
            ),
            vocabulary: Vocabulary::new(
                self.codec.0.special(),
                &self.config.end_of_text,
                self.codec.0.vocab_size(),
            ),
            prefill_chunks: args.prefill_chunk.div_ceil(args.chunk_size).max(1),
            max_batch: args.max_batch,
            metrics: Arc::clone(&self.metrics),
        };
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = args
            .threads
            .unwrap_or_else(|| cores.saturating_sub(1).max(1));
        let (handle, stopped) = scheduler.start(threads)?;
        Ok(Loaded {
            service: self.service(args, Backend::Computed(handle)),
            stopped: Some(stopped),
        })
    }

    fn paced(
        self,
        args: &EngineArgs,
        script: &Path,
        timer: Arc<Timer>,
        exit: UnboundedSender<u64>,
    ) -> Result<Loaded, EngineError> {
        let script = Script::read(script, self.config.shape.kv_bytes_per_token)?;
        let prefix = args.prefix.map(|capacity| {
            self.metrics
                .tier(TierKind::Prefix)
                .capacity_bytes
                .set(capacity);
            Mutex::new(Lru::new(capacity))
        });
        // Generated words begin after the special ids, which no text may contain.
        let first = self.codec.0.special().iter().max().map_or(0, |id| id + 1);
        let last = self.codec.0.vocab_size() as u32;
        if first >= last {
            return Err(EngineError::Arguments(
                "the paced mode needs ordinary ids above the special ones".to_owned(),
            ));
        }
        let engine = PacedEngine {
            script,
            timer,
            seed: args.seed,
            root: ChunkHash::root(
                format!(
                    "paced\n{}\n{}",
                    identity(&self.config, "none"),
                    args.chunk_size
                )
                .as_bytes(),
            ),
            chunk_tokens: args.chunk_size,
            chunk_bytes: self.chunk_bytes,
            prefix,
            tiers: self.tiers(args)?,
            vocabulary: first..last,
            metrics: Arc::clone(&self.metrics),
            requests: AtomicU64::new(0),
            exit,
        };
        Ok(Loaded {
            service: self.service(args, Backend::Paced(Arc::new(engine))),
            stopped: None,
        })
    }
}
