//! Chunks in files, one file a chunk, written whole or not at all and checked when read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::lru::{Lru, Use};
use super::{ChunkValues, TierKind, values_of};
use crate::error::EngineError;
use crate::hash::ChunkHash;
use crate::metrics::Metrics;

const EXTENSION: &str = "kv";
const TEMPORARY_EXTENSION: &str = "part";
const MAGIC: &[u8; 8] = b"kvchunk1";
/// Magic, name of the chunk, blake3 hash of name and values.
const HEADER_BYTES: usize = 8 + 32 + 32;

/// The tier `local-disk`.
pub(crate) struct DiskTier {
    folder: PathBuf,
    chunks: Mutex<Lru<()>>,
    /// Bytes that a chunk counts as; in the paced mode its file is smaller.
    chunk_bytes: u64,
    metrics: Arc<Metrics>,
}

/// What became of an attempt to read a chunk.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Values,
    Nothing,
    Damage,
}

impl DiskTier {
    /// A tier in `folder`, which is made if missing. Files that are there already are reused, oldest modification
    /// first to go; half-written ones are removed.
    ///
    /// # Errors
    /// When the folder cannot be made, read or written.
    pub(crate) fn open(
        folder: PathBuf,
        capacity_bytes: u64,
        values_bytes: u64,
        metrics: Arc<Metrics>,
    ) -> Result<Self, EngineError> {
        let fail = |source| EngineError::io(&folder, source);
        fs::create_dir_all(&folder).map_err(fail)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            let extension = path.extension().and_then(|extension| extension.to_str());
            if extension == Some(TEMPORARY_EXTENSION) {
                fs::remove_file(&path).map_err(|source| EngineError::io(&path, source))?;
            } else if extension == Some(EXTENSION) {
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                let Some(hash) = stem.and_then(ChunkHash::from_hex) else {
                    continue;
                };
                let metadata = path
                    .metadata()
                    .map_err(|source| EngineError::io(&path, source))?;
                let modified = metadata
                    .modified()
                    .map_err(|source| EngineError::io(&path, source))?;
                files.push((modified, hash, metadata.len()));
            }
        }
        files.sort_unstable();
        let chunk_bytes = HEADER_BYTES as u64 + values_bytes;
        let mut chunks = Lru::new(capacity_bytes);
        for (_, hash, bytes) in files {
            let used = chunks.draw(1).of(0);
            // A file of the paced mode is smaller than what it stands for.
            chunks.insert(hash, bytes.max(chunk_bytes), used, ());
        }
        metrics
            .tier(TierKind::LocalDisk)
            .capacity_bytes
            .set(capacity_bytes);
        let tier = Self {
            folder,
            chunks: Mutex::new(chunks),
            chunk_bytes,
            metrics,
        };
        let mut chunks = tier.lock();
        tier.make_room(&mut chunks, 0, u64::MAX);
        drop(chunks);
        Ok(tier)
    }

    fn lock(&self) -> MutexGuard<'_, Lru<()>> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, hash: &ChunkHash) -> PathBuf {
        self.folder.join(hash.to_hex()).with_extension(EXTENSION)
    }

    /// Removes files until `bytes` more fit; false when that cannot be.
    fn make_room(&self, chunks: &mut Lru<()>, bytes: u64, before: u64) -> bool {
        let tier = self.metrics.tier(TierKind::LocalDisk);
        let evicted = chunks.make_room(bytes, before, |()| true);
        for (hash, ()) in evicted.iter().flatten() {
            self.remove_file(hash);
            tier.evicted_chunks.add(1);
        }
        tier.used_bytes.set(chunks.used_bytes());
        evicted.is_some()
    }

    fn remove_file(&self, hash: &ChunkHash) {
        // A file that is gone already is as good as removed.
        if let Err(error) = fs::remove_file(self.path(hash))
            && error.kind() != io::ErrorKind::NotFound
        {
            self.metrics.tier(TierKind::LocalDisk).io_errors.add(1);
        }
    }

    /// Numbers for the chunks of one context.
    pub(crate) fn draw(&self, chunks: usize) -> Use {
        self.lock().draw(chunks)
    }

    /// Whether a file of this name should be there.
    pub(crate) fn contains(&self, hash: &ChunkHash) -> bool {
        self.lock().contains(hash)
    }

    /// Reads a chunk's values into `output`; false when it is not here. A damaged file is removed and counted, and
    /// then is not here.
    pub(crate) fn load(&self, hash: &ChunkHash, output: &mut [f32]) -> bool {
        if !self.contains(hash) {
            return false;
        }
        let tier = self.metrics.tier(TierKind::LocalDisk);
        let found = read_chunk(&self.path(hash), hash, output).unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                tier.io_errors.add(1);
            }
            Found::Nothing
        });
        if found == Found::Values {
            tier.read_bytes.add(self.chunk_bytes);
            return true;
        }
        if found == Found::Damage {
            tier.checksum_failures.add(1);
            self.remove_file(hash);
        }
        let mut chunks = self.lock();
        chunks.remove(hash);
        tier.used_bytes.set(chunks.used_bytes());
        false
    }

    /// Marks a chunk as used, or writes it where there is room.
    pub(crate) fn store(&self, hash: ChunkHash, values: &ChunkValues, uses: Use, place: usize) {
        let tier = self.metrics.tier(TierKind::LocalDisk);
        {
            let mut chunks = self.lock();
            if chunks.touch(&hash, uses.of(place)) {
                drop(chunks);
                // The modification time carries the order of use over a restart. Losing it only evicts sooner.
                if File::open(self.path(&hash))
                    .and_then(|file| file.set_modified(SystemTime::now()))
                    .is_err()
                {
                    tier.io_errors.add(1);
                }
                return;
            }
            if !self.make_room(&mut chunks, self.chunk_bytes, uses.before()) {
                return;
            }
            chunks.insert(hash, self.chunk_bytes, uses.of(place), ());
            tier.used_bytes.set(chunks.used_bytes());
        }
        if write_chunk(&self.path(&hash), &hash, values_of(values)).is_ok() {
            tier.stored_chunks.add(1);
            tier.written_bytes.add(self.chunk_bytes);
        } else {
            tier.io_errors.add(1);
            let mut chunks = self.lock();
            chunks.remove(&hash);
            tier.used_bytes.set(chunks.used_bytes());
        }
    }
}

fn checksum(hash: &ChunkHash, values: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    hasher.update(hash.bytes()).update(values);
    hasher.finalize()
}

fn read_chunk(path: &Path, hash: &ChunkHash, output: &mut [f32]) -> io::Result<Found> {
    let mut file = File::open(path)?;
    let values: &mut [u8] = bytemuck::cast_slice_mut(output);
    if file.metadata()?.len() != (HEADER_BYTES + values.len()) as u64 {
        return Ok(Found::Damage);
    }
    let mut header = [0u8; HEADER_BYTES];
    file.read_exact(&mut header)?;
    file.read_exact(values)?;
    let expected = checksum(hash, values);
    let intact = header[..8] == *MAGIC
        && header[8..40] == *hash.bytes()
        && header[40..] == *expected.as_bytes();
    Ok(if intact { Found::Values } else { Found::Damage })
}

fn write_chunk(path: &Path, hash: &ChunkHash, values: &[f32]) -> io::Result<()> {
    let values: &[u8] = bytemuck::cast_slice(values);
    let temporary = path.with_extension(TEMPORARY_EXTENSION);
    let write = || {
        let mut file = File::create(&temporary)?;
        let mut header = [0u8; HEADER_BYTES];
        header[..8].copy_from_slice(MAGIC);
        header[8..40].copy_from_slice(hash.bytes());
        header[40..].copy_from_slice(checksum(hash, values).as_bytes());
        file.write_all(&header)?;
        file.write_all(values)?;
        fs::rename(&temporary, path)
    };
    let written = write();
    if written.is_err() {
        // What is left of a failed attempt would count as nothing and stay forever.
        fs::remove_file(&temporary).or_else(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                Ok(())
            } else {
                Err(error)
            }
        })?;
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{KvBlock, KvLayout, KvPool};
    use std::time::Duration;

    const LAYOUT: KvLayout = KvLayout {
        chunk_tokens: 16,
        layers: 1,
        kv_heads: 1,
        head_dim: 16,
    };

    fn open(folder: &Path, chunks: u64) -> (DiskTier, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new("model"));
        let capacity = chunks * (LAYOUT.block_bytes() + HEADER_BYTES as u64);
        (
            DiskTier::open(
                folder.to_owned(),
                capacity,
                LAYOUT.block_bytes(),
                Arc::clone(&metrics),
            )
            .unwrap(),
            metrics,
        )
    }

    fn block(value: f32) -> KvBlock {
        let mut block = KvPool::new(&LAYOUT, 1).block().unwrap();
        block.values_mut().fill(value);
        block
    }

    fn names(count: u8) -> Vec<ChunkHash> {
        (0..count).map(|i| ChunkHash::root(&[i])).collect()
    }

    fn store(tier: &DiskTier, name: ChunkHash, value: f32) {
        tier.store(name, &Some(Arc::new(block(value))), tier.draw(1), 0);
    }

    fn load(tier: &DiskTier, name: &ChunkHash) -> Option<f32> {
        let mut values = vec![0f32; LAYOUT.block_values()];
        tier.load(name, &mut values).then(|| values[3])
    }

    fn bytes_in(folder: &Path) -> u64 {
        fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum()
    }

    #[test]
    fn files_survive_a_restart_in_the_order_of_their_use() {
        let folder = tempfile::tempdir().unwrap();
        let names = names(4);
        let (tier, _) = open(folder.path(), 3);
        for (index, name) in names[..3].iter().enumerate() {
            store(&tier, *name, index as f32);
            let old = SystemTime::now() - Duration::from_secs(100 - index as u64);
            File::open(tier.path(name))
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        store(&tier, names[0], 0.0);
        drop(tier);
        let (tier, metrics) = open(folder.path(), 3);
        store(&tier, names[3], 3.0);
        assert_eq!(load(&tier, &names[1]), None);
        assert_eq!(
            [0, 2, 3].map(|i| load(&tier, &names[i])),
            [Some(0.0), Some(2.0), Some(3.0)]
        );
        assert_eq!(metrics.tier(TierKind::LocalDisk).evicted_chunks.get(), 1);
    }

    #[test]
    fn a_smaller_capacity_holds_from_the_start() {
        let folder = tempfile::tempdir().unwrap();
        let (tier, _) = open(folder.path(), 3);
        names(3)
            .into_iter()
            .for_each(|name| store(&tier, name, 1.0));
        fs::write(folder.path().join("half.part"), "x").unwrap();
        drop(tier);
        let _tier = open(folder.path(), 1);
        assert_eq!(
            bytes_in(folder.path()),
            LAYOUT.block_bytes() + HEADER_BYTES as u64
        );
    }

    #[test]
    fn damage_anywhere_is_found_removed_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let name = names(1)[0];
        let size = HEADER_BYTES + LAYOUT.block_bytes() as usize;
        for position in [0, 8, 39, 40, 71, 72, size / 2, size - 1] {
            let (tier, metrics) = open(folder.path(), 3);
            store(&tier, name, 5.0);
            assert_eq!(load(&tier, &name), Some(5.0));
            let mut bytes = fs::read(tier.path(&name)).unwrap();
            bytes[position] ^= 1;
            fs::write(tier.path(&name), &bytes).unwrap();
            assert_eq!(load(&tier, &name), None);
            assert_eq!(metrics.tier(TierKind::LocalDisk).checksum_failures.get(), 1);
            assert!(!tier.path(&name).exists());
            store(&tier, name, 6.0);
            fs::write(tier.path(&name), &bytes[..size - 4]).unwrap();
            assert_eq!(load(&tier, &name), None);
            assert_eq!(metrics.tier(TierKind::LocalDisk).checksum_failures.get(), 2);
            assert_eq!(bytes_in(folder.path()), 0);
        }
    }

    #[test]
    fn a_chunk_under_another_name_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let names = names(2);
        let (tier, _) = open(folder.path(), 3);
        store(&tier, names[0], 5.0);
        store(&tier, names[1], 6.0);
        fs::copy(tier.path(&names[0]), tier.path(&names[1])).unwrap();
        assert_eq!(load(&tier, &names[1]), None);
    }
}
