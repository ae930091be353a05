//! Places where KV chunks are kept, near to far: the engine's own memory, host memory, files.

pub(crate) mod cpu;
pub(crate) mod disk;
pub(crate) mod lru;
pub(crate) mod stack;

use crate::kv::KvBlock;
use std::sync::Arc;

/// A place where KV chunks are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TierKind {
    /// The engine's own memory; a hit needs no copy.
    Prefix,
    /// Host memory outside the engine's own; a hit is copied.
    LocalCpu,
    /// Files.
    LocalDisk,
}

impl TierKind {
    /// All tiers, near to far.
    pub(crate) const ALL: [Self; 3] = [Self::Prefix, Self::LocalCpu, Self::LocalDisk];

    /// The tier's name in scenarios, arguments and metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::LocalCpu => "local-cpu",
            Self::LocalDisk => "local-disk",
        }
    }
}

/// The KV values of a chunk; `None` in the paced mode, where chunks have a name and a size but no values.
pub(crate) type ChunkValues = Option<Arc<KvBlock>>;

fn values_of(values: &ChunkValues) -> &[f32] {
    values.as_ref().map_or(&[], |block| block.values())
}
