//! Names of chunks of KV cache: chained hashes of tokens, rooted in the identity of the model.

/// Names one chunk and, through the chain, all tokens before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(crate) struct ChunkHash([u8; 32]);

impl ChunkHash {
    /// The start of every chain: what the KV values depend on besides the tokens.
    pub(crate) fn root(model_identity: &[u8]) -> Self {
        Self(*blake3::hash(model_identity).as_bytes())
    }

    /// The name of the chunk that follows this one with `tokens`.
    pub(crate) fn next(self, tokens: &[u32]) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let mut bytes = [0u8; 1024];
        for part in tokens.chunks(bytes.len() / 4) {
            for (slot, token) in bytes.chunks_exact_mut(4).zip(part) {
                slot.copy_from_slice(&token.to_le_bytes());
            }
            hasher.update(&bytes[..part.len() * 4]);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// Names of all whole chunks of `tokens`, first to last.
    pub(crate) fn chain(self, tokens: &[u32], chunk_tokens: usize) -> Vec<Self> {
        let mut last = self;
        tokens
            .chunks_exact(chunk_tokens)
            .map(|chunk| {
                last = last.next(chunk);
                last
            })
            .collect()
    }

    /// The 32 bytes of the name.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The name from its 64 hexadecimal digits; `None` when the text is anything else.
    pub(crate) fn from_hex(text: &str) -> Option<Self> {
        blake3::Hash::from_hex(text)
            .ok()
            .map(|hash| Self(*hash.as_bytes()))
    }

    /// 64 hexadecimal digits.
    pub(crate) fn to_hex(self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_depends_on_everything_before_it() {
        let root = ChunkHash::root(b"model");
        let tokens: Vec<u32> = (0..1000).collect();
        let chain = root.chain(&tokens, 256);
        assert_eq!(chain.len(), 3);
        let mut other = tokens.clone();
        other[0] += 1;
        let changed = root.chain(&other, 256);
        assert!(chain.iter().zip(&changed).all(|(a, b)| a != b));
        other[0] -= 1;
        other[600] += 1;
        let changed = root.chain(&other, 256);
        assert_eq!(chain[..2], changed[..2]);
        assert_ne!(chain[2], changed[2]);
        assert_ne!(chain, ChunkHash::root(b"another").chain(&tokens, 256));
    }

    #[test]
    fn hexadecimal_goes_both_ways() {
        let name = ChunkHash::root(b"model");
        assert_eq!(ChunkHash::from_hex(&name.to_hex()), Some(name));
        assert_eq!(ChunkHash::from_hex("zz"), None);
    }
}
