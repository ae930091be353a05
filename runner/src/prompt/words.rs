//! Words that are one token each, whatever words of the pool stand beside them.

use super::{
    source::PromptError,
    tokenizer::{Tokenizer, TokenizerError},
};

/// Words that a pool holds at most; the shortest are taken, so that long prompts stay small.
const WORDS_MAX: usize = 4096;
/// Fewer words than this make texts too much alike.
const WORDS_MIN: usize = 32;
/// Words that are checked together.
const GROUP: usize = 64;

/// A pool of words.
#[derive(Debug)]
pub(super) struct Words {
    /// Words that stand at the beginning of a message.
    pub(super) openers: Vec<Box<str>>,
    /// Words that follow another.
    pub(super) followers: Vec<Box<str>>,
}

/// A word and its token.
#[derive(Clone)]
struct Candidate {
    text: String,
    id: u32,
}

/// How tokenizers write that a word follows a space.
const SPACE_MARKS: [char; 2] = ['Ġ', '▁'];

impl Words {
    /// Chooses words and proves them: any sequence of them encodes to exactly their tokens.
    pub(super) fn choose(tokenizer: &Tokenizer) -> Result<Self, PromptError> {
        let vocabulary = tokenizer.vocabulary();
        // Byte-pair and unigram vocabularies hold words with their space; word-level ones hold bare words, which stand side by side or with a space
        // that belongs to no token.
        let spaced = vocabulary.iter().filter_map(|(token, id)| {
            let word = token.strip_prefix(SPACE_MARKS)?;
            is_letters(word).then(|| Candidate {
                text: format!(" {word}"),
                id: *id,
            })
        });
        let bare = vocabulary.iter().filter_map(|(_, id)| {
            let text = tokenizer.decode_one(*id)?;
            (!text.is_empty() && text.bytes().all(is_plain)).then_some(Candidate { text, id: *id })
        });
        let parted = vocabulary
            .iter()
            .filter(|(token, _)| is_letters(token))
            .map(|(token, id)| Candidate {
                text: format!(" {token}"),
                id: *id,
            });
        let classes: [Vec<Candidate>; 3] = [spaced.collect(), bare.collect(), parted.collect()];
        for candidates in classes {
            if let Some(words) = Self::prove(tokenizer, candidates)? {
                return Ok(words);
            }
        }
        Err(PromptError::NoWords { least: WORDS_MIN })
    }

    fn prove(
        tokenizer: &Tokenizer,
        mut candidates: Vec<Candidate>,
    ) -> Result<Option<Self>, TokenizerError> {
        candidates.sort_by_key(|candidate| (candidate.text.len(), candidate.id));
        candidates.truncate(WORDS_MAX);
        let openers = openers(tokenizer, &candidates)?;
        let Some(first) = openers.first() else {
            return Ok(None);
        };
        let mut followers = Vec::with_capacity(candidates.len());
        for group in candidates.chunks(GROUP) {
            if joins(tokenizer, first, group)? {
                followers.extend_from_slice(group);
                continue;
            }
            for candidate in group {
                let twice = [candidate.clone(), candidate.clone()];
                if joins(tokenizer, first, &twice)? {
                    followers.push(candidate.clone());
                }
            }
        }
        if followers.len() < WORDS_MIN {
            return Ok(None);
        }
        // Other neighbours than those of the groups: each word after each kind of word, in two orders.
        let strides = [7, 101];
        for stride in strides {
            let mixed: Vec<Candidate> = (0..stride)
                .flat_map(|start| followers.iter().skip(start).step_by(stride).cloned())
                .collect();
            if !joins(tokenizer, first, &mixed)? {
                return Ok(None);
            }
        }
        let texts = |words: Vec<Candidate>| {
            words
                .into_iter()
                .map(|word| word.text.into_boxed_str())
                .collect()
        };
        Ok(Some(Self {
            openers: texts(openers),
            followers: texts(followers),
        }))
    }
}

/// The candidates, without their space, that are one token at the beginning of a text.
fn openers(
    tokenizer: &Tokenizer,
    candidates: &[Candidate],
) -> Result<Vec<Candidate>, TokenizerError> {
    let Some(follower) = candidates.first() else {
        return Ok(Vec::new());
    };
    let mut openers = Vec::new();
    for candidate in candidates {
        let text = candidate.text.trim_start().to_owned();
        let ids = tokenizer.encode(&format!("{text}{}", follower.text))?;
        if let [id, second] = ids[..]
            && second == follower.id
        {
            openers.push(Candidate { text, id });
        }
    }
    Ok(openers)
}

/// Whether words after an opener encode to exactly their tokens.
fn joins(
    tokenizer: &Tokenizer,
    opener: &Candidate,
    words: &[Candidate],
) -> Result<bool, TokenizerError> {
    let text: String = std::iter::once(opener)
        .chain(words)
        .map(|word| word.text.as_str())
        .collect();
    let ids = tokenizer.encode(&text)?;
    Ok(ids
        .iter()
        .eq(std::iter::once(opener).chain(words).map(|word| &word.id)))
}

fn is_letters(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// Printable, no space, and the same in a JSON string.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'"' && byte != b'\\'
}
