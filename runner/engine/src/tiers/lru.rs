//! An index of chunks that knows their bytes and which of them was used last.

use std::collections::{BTreeSet, HashMap};

use crate::hash::ChunkHash;

/// Chunks within a capacity. When one was last used is a number that the caller draws with [`Lru::draw`], so that the
/// first chunks of a context can count as used after its last ones: without the first, the others are of no use.
#[derive(Debug)]
pub(crate) struct Lru<V> {
    capacity_bytes: u64,
    used_bytes: u64,
    next: u64,
    entries: HashMap<ChunkHash, Entry<V>>,
    by_use: BTreeSet<(u64, ChunkHash)>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: u64,
    used: u64,
}

/// Consecutive numbers for the chunks of one context.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    first: u64,
    chunks: u64,
}

impl Use {
    /// The number of a chunk by its place in the context, from 0: the later it stands, the sooner it goes.
    pub(crate) fn of(&self, chunk: usize) -> u64 {
        self.first + (self.chunks - 1).saturating_sub(chunk as u64)
    }

    /// Everything numbered below was used before this context.
    pub(crate) fn before(&self) -> u64 {
        self.first
    }
}

impl<V> Lru<V> {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        Self {
            capacity_bytes,
            used_bytes: 0,
            next: 0,
            entries: HashMap::new(),
            by_use: BTreeSet::new(),
        }
    }

    /// Numbers for a context of so many chunks, all above what was drawn before.
    pub(crate) fn draw(&mut self, chunks: usize) -> Use {
        let chunks = chunks.max(1) as u64;
        let first = self.next;
        self.next += chunks;
        Use { first, chunks }
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    pub(crate) fn contains(&self, hash: &ChunkHash) -> bool {
        self.entries.contains_key(hash)
    }

    pub(crate) fn get(&self, hash: &ChunkHash) -> Option<&V> {
        self.entries.get(hash).map(|entry| &entry.value)
    }

    pub(crate) fn get_mut(&mut self, hash: &ChunkHash) -> Option<&mut V> {
        self.entries.get_mut(hash).map(|entry| &mut entry.value)
    }

    /// Marks a chunk as used; false when it is not here.
    pub(crate) fn touch(&mut self, hash: &ChunkHash, used: u64) -> bool {
        let Some(entry) = self.entries.get_mut(hash) else {
            return false;
        };
        self.by_use.remove(&(entry.used, *hash));
        entry.used = used;
        self.by_use.insert((used, *hash));
        true
    }

    pub(crate) fn insert(&mut self, hash: ChunkHash, bytes: u64, used: u64, value: V) {
        self.remove(&hash);
        self.used_bytes += bytes;
        self.by_use.insert((used, hash));
        self.entries.insert(hash, Entry { value, bytes, used });
    }

    pub(crate) fn remove(&mut self, hash: &ChunkHash) -> Option<V> {
        let entry = self.entries.remove(hash)?;
        self.by_use.remove(&(entry.used, *hash));
        self.used_bytes -= entry.bytes;
        Some(entry.value)
    }

    /// Removes chunks, the longest unused first, until `bytes` more fit into the capacity, and returns them. Only
    /// chunks used before `before` and allowed by `may_go` are removed; when that is not enough, none is, and the
    /// answer is `None`.
    pub(crate) fn make_room(
        &mut self,
        bytes: u64,
        before: u64,
        may_go: impl Fn(&V) -> bool,
    ) -> Option<Vec<(ChunkHash, V)>> {
        let excess = (self.used_bytes + bytes).saturating_sub(self.capacity_bytes);
        self.evict(excess, before, may_go)
    }

    /// As [`Lru::make_room`], until at least `excess` bytes are gone.
    pub(crate) fn evict(
        &mut self,
        excess: u64,
        before: u64,
        may_go: impl Fn(&V) -> bool,
    ) -> Option<Vec<(ChunkHash, V)>> {
        let mut freed = 0;
        let mut victims = Vec::new();
        for (_, hash) in self.by_use.iter().take_while(|(used, _)| *used < before) {
            if freed >= excess {
                break;
            }
            if let Some(entry) = self.entries.get(hash).filter(|entry| may_go(&entry.value)) {
                freed += entry.bytes;
                victims.push(*hash);
            }
        }
        if freed < excess {
            return None;
        }
        let removed = victims
            .into_iter()
            .filter_map(|hash| self.remove(&hash).map(|value| (hash, value)));
        Some(removed.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(number: u32) -> ChunkHash {
        ChunkHash::root(&number.to_le_bytes())
    }

    #[test]
    fn the_tail_of_the_oldest_context_goes_first() {
        let mut lru = Lru::new(4);
        for context in 0..2 {
            let uses = lru.draw(2);
            for chunk in 0..2 {
                lru.insert(name(context * 2 + chunk), 1, uses.of(chunk as usize), ());
            }
        }
        let uses = lru.draw(1);
        let gone = lru.make_room(1, uses.before(), |_| true).unwrap();
        assert_eq!(gone, [(name(1), ())]);
        lru.touch(&name(0), uses.of(0));
        let uses = lru.draw(1);
        let gone = lru.make_room(3, uses.before(), |_| true).unwrap();
        assert_eq!(gone, [(name(3), ()), (name(2), ())]);
    }

    #[test]
    fn nothing_goes_when_it_would_not_be_enough() {
        let mut lru = Lru::new(2);
        let uses = lru.draw(2);
        lru.insert(name(0), 1, uses.of(0), true);
        lru.insert(name(1), 1, uses.of(1), false);
        assert!(lru.make_room(1, uses.before(), |_| true).is_none());
        assert!(lru.make_room(2, u64::MAX, |may_go| *may_go).is_none());
        assert_eq!(lru.used_bytes(), 2);
        assert_eq!(
            lru.make_room(1, u64::MAX, |may_go| *may_go).unwrap().len(),
            1
        );
    }

    proptest! {
        #[test]
        fn bytes_never_exceed_the_capacity(steps in prop::collection::vec((0u32..20, 1u64..5), 1..200)) {
            let mut lru = Lru::new(10);
            for (number, bytes) in steps {
                let uses = lru.draw(1);
                if !lru.touch(&name(number), uses.of(0)) && lru.make_room(bytes, uses.before(), |_| true).is_some() {
                    lru.insert(name(number), bytes, uses.of(0), bytes);
                }
                let sum: u64 = (0..20).filter_map(|number| lru.get(&name(number))).sum();
                prop_assert_eq!(sum, lru.used_bytes());
                prop_assert!(sum <= 10);
            }
        }
    }
}
