//! The tiers outside the engine's own memory as one: looked up near to far, written through by a thread of their own.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::cpu::CpuTier;
use super::disk::DiskTier;
use super::{ChunkValues, TierKind};
use crate::error::EngineError;
use crate::hash::ChunkHash;

/// Consecutive chunks of one context, in order.
pub(crate) type Chunks = Vec<(ChunkHash, ChunkValues)>;

#[derive(Default)]
struct Shared {
    cpu: Option<CpuTier>,
    disk: Option<DiskTier>,
    /// How often each chunk stands in the writer's queue.
    pending: Mutex<HashMap<ChunkHash, usize>>,
    written: Condvar,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, HashMap<ChunkHash, usize>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, chunks: &Chunks) {
        let uses = (
            self.cpu.as_ref().map(|cpu| cpu.draw(chunks.len())),
            self.disk.as_ref().map(|disk| disk.draw(chunks.len())),
        );
        for (place, (hash, values)) in chunks.iter().enumerate() {
            if let (Some(cpu), Some(uses)) = (&self.cpu, uses.0) {
                cpu.store(*hash, values, uses, place);
            }
            if let (Some(disk), Some(uses)) = (&self.disk, uses.1) {
                disk.store(*hash, values, uses, place);
            }
            let mut pending = self.pending();
            if let Some(count) = pending.get_mut(hash) {
                *count -= 1;
                if *count == 0 {
                    pending.remove(hash);
                }
            }
            drop(pending);
            self.written.notify_all();
        }
    }
}

/// The tiers `local-cpu` and `local-disk` of one engine.
pub(crate) struct LocalTiers {
    shared: Arc<Shared>,
    /// `None` when there is no tier to write to.
    writer: Option<Sender<Chunks>>,
}

impl LocalTiers {
    /// Starts the thread that writes.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(cpu: Option<CpuTier>, disk: Option<DiskTier>) -> Result<Self, EngineError> {
        let exists = cpu.is_some() || disk.is_some();
        let shared = Arc::new(Shared {
            cpu,
            disk,
            ..Shared::default()
        });
        let mut writer = None;
        if exists {
            let (sender, receiver): (_, Receiver<Chunks>) = channel();
            let shared = Arc::clone(&shared);
            let write = move || {
                receiver
                    .into_iter()
                    .for_each(|chunks| shared.write(&chunks))
            };
            let thread = std::thread::Builder::new().name("kv-writer".to_owned());
            thread.spawn(write).map_err(|source| EngineError::Setup {
                what: "the writer thread",
                source,
            })?;
            writer = Some(sender);
        }
        Ok(Self { shared, writer })
    }

    /// Whether there is any tier here.
    pub(crate) fn exist(&self) -> bool {
        self.writer.is_some()
    }

    /// Copies the values of a chunk into `output` from the nearest tier that has it. A chunk that is still being
    /// written is waited for, so that a request finds what the one before it left.
    pub(crate) fn load(&self, hash: &ChunkHash, output: &mut [f32]) -> Option<TierKind> {
        self.writer.as_ref()?;
        let mut pending = self.shared.pending();
        while pending.contains_key(hash) {
            pending = self
                .shared
                .written
                .wait(pending)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(pending);
        if self
            .shared
            .cpu
            .as_ref()
            .is_some_and(|cpu| cpu.load(hash, output))
        {
            return Some(TierKind::LocalCpu);
        }
        if self
            .shared
            .disk
            .as_ref()
            .is_some_and(|disk| disk.load(hash, output))
        {
            return Some(TierKind::LocalDisk);
        }
        None
    }

    /// Hands the chunks of a context to the writer: each tier marks those that it has as used and stores the others.
    /// So what was found in a far tier comes to the near ones, too.
    pub(crate) fn store(&self, chunks: Chunks) {
        let Some(writer) = &self.writer else { return };
        if chunks.is_empty() {
            return;
        }
        let mut pending = self.shared.pending();
        for (hash, _) in &chunks {
            *pending.entry(*hash).or_default() += 1;
        }
        drop(pending);
        if let Err(unsent) = writer.send(chunks) {
            // The writer is gone: nobody may wait for what it will never write.
            let mut pending = self.shared.pending();
            unsent.0.iter().for_each(|(hash, _)| {
                pending.remove(hash);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn what_was_handed_over_is_found_and_comes_near() {
        let folder = tempfile::tempdir().unwrap();
        let metrics = Arc::new(Metrics::new("model"));
        let names: Vec<_> = (0..50u8).map(|i| ChunkHash::root(&[i])).collect();
        let chunks: Chunks = names.iter().map(|name| (*name, None)).collect();
        let disk =
            || DiskTier::open(folder.path().to_owned(), 1 << 20, 0, Arc::clone(&metrics)).unwrap();
        let tiers = LocalTiers::start(None, Some(disk())).unwrap();
        tiers.store(chunks.clone());
        assert!(
            names
                .iter()
                .all(|name| tiers.load(name, &mut []) == Some(TierKind::LocalDisk))
        );
        drop(tiers);
        let cpu = CpuTier::new(1 << 20, 1, Arc::clone(&metrics));
        let tiers = LocalTiers::start(Some(cpu), Some(disk())).unwrap();
        assert!(
            names
                .iter()
                .all(|name| tiers.load(name, &mut []) == Some(TierKind::LocalDisk))
        );
        tiers.store(chunks);
        assert!(
            names
                .iter()
                .all(|name| tiers.load(name, &mut []) == Some(TierKind::LocalCpu))
        );
    }

    #[test]
    fn without_tiers_nothing_is_found() {
        let tiers = LocalTiers::start(None, None).unwrap();
        let name = ChunkHash::root(b"x");
        tiers.store(vec![(name, None)]);
        assert_eq!(tiers.load(&name, &mut []), None);
    }
}
