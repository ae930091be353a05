//! Text to token ids and back, with the tokenizer of the built-in models.

use std::path::Path;
use std::sync::Arc;

use tokenizers::Tokenizer;

use crate::error::EngineError;

/// Ids of the shipped tokenizer, special ones included.
pub(crate) const BUILTIN_VOCAB_SIZE: usize = 777;
/// The id that ends a generation of a built-in model.
pub(crate) const BUILTIN_END_OF_TEXT: u32 = 2;

static BUILTIN_JSON: &[u8] = include_bytes!("../assets/tokenizer.json");
static BUILTIN_TEMPLATE: &str = include_str!("../assets/chat_template.jinja");

/// The `tokenizer.json` of the built-in models, readable by Hugging Face's tokenizers and transformers.
///
/// A word is a space and two lower-case letters, or one printable character that is not a space. A space never stands
/// alone, so the text of any sequence of words splits into exactly these words again, and no word's text is empty.
/// Special ids are written in angle quotes, which no word contains.
pub fn builtin_tokenizer_json() -> &'static [u8] {
    BUILTIN_JSON
}

/// The chat template of the built-in models, in Jinja.
pub fn builtin_chat_template() -> &'static str {
    BUILTIN_TEMPLATE
}

/// The `tokenizer_config.json` of the built-in models.
pub fn builtin_tokenizer_config() -> serde_json::Value {
    serde_json::json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "«unk»",
        "bos_token": "«s»",
        "eos_token": "«end»",
        "pad_token": "«pad»",
        "clean_up_tokenization_spaces": false,
        "model_max_length": 32_768,
        "chat_template": BUILTIN_TEMPLATE,
    })
}

/// The tokenizer of the built-in models.
///
/// # Errors
/// When the shipped file cannot be read, which a test rules out.
pub fn builtin_tokenizer() -> Result<Tokenizer, EngineError> {
    Tokenizer::from_bytes(BUILTIN_JSON).map_err(|error| EngineError::Tokenizer {
        path: "builtin tokenizer.json".into(),
        reason: error.to_string(),
    })
}

/// A tokenizer with what generation needs beside it.
#[derive(Clone)]
pub(crate) struct TextCodec {
    tokenizer: Arc<Tokenizer>,
    /// Ids that are special, in ascending order: never generated, never part of a reply's text.
    special: Arc<[u32]>,
    /// The text of each id, where it does not depend on the ids before it.
    words: Option<Arc<[Box<str>]>>,
}

impl TextCodec {
    /// The codec of the built-in models.
    pub(crate) fn builtin() -> Result<Self, EngineError> {
        Self::new(
            builtin_tokenizer()?,
            Path::new("builtin tokenizer.json"),
            true,
        )
    }

    /// The codec of a model directory.
    pub(crate) fn read(directory: &Path) -> Result<Self, EngineError> {
        let path = directory.join("tokenizer.json");
        let bytes = std::fs::read(&path).map_err(|source| EngineError::io(&path, source))?;
        let tokenizer = Tokenizer::from_bytes(&bytes).map_err(|error| EngineError::Tokenizer {
            path: path.clone(),
            reason: error.to_string(),
        })?;
        Self::new(tokenizer, &path, bytes == BUILTIN_JSON)
    }

    fn new(
        tokenizer: Tokenizer,
        path: &Path,
        independent_words: bool,
    ) -> Result<Self, EngineError> {
        let added = tokenizer.get_added_tokens_decoder();
        let mut special: Vec<u32> = added
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| *id)
            .collect();
        special.sort_unstable();
        let word = |id: u32| {
            let text = tokenizer.decode(&[id], true);
            text.map(String::into_boxed_str)
                .map_err(|error| EngineError::Tokenizer {
                    path: path.to_owned(),
                    reason: error.to_string(),
                })
        };
        let ids = 0..tokenizer.get_vocab_size(true) as u32;
        let words = independent_words
            .then(|| ids.map(word).collect::<Result<_, _>>())
            .transpose()?;
        Ok(Self {
            tokenizer: Arc::new(tokenizer),
            special: special.into(),
            words,
        })
    }

    /// Ids that are special, in ascending order.
    pub(crate) fn special(&self) -> &[u32] {
        &self.special
    }

    /// Ids that the tokenizer knows.
    pub(crate) fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// Token ids of a text; `special` adds what the tokenizer puts around every text (a chat template brings its own).
    pub(crate) fn encode(&self, text: &str, special: bool) -> Result<Vec<u32>, String> {
        let encoding = self
            .tokenizer
            .encode_fast(text, special)
            .map_err(|error| error.to_string())?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of token ids, special ones included.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.tokenizer
            .decode(ids, false)
            .map_err(|error| error.to_string())
    }

    /// Turns ids to text one by one, as they are generated.
    pub(crate) fn stream(&self) -> TextStream {
        TextStream {
            codec: self.clone(),
            ids: Vec::new(),
            prefix: String::new(),
            prefix_index: 0,
        }
    }
}

/// The text of a growing sequence of ids.
pub(crate) struct TextStream {
    codec: TextCodec,
    ids: Vec<u32>,
    prefix: String,
    prefix_index: usize,
}

impl TextStream {
    /// The text that `id` adds; empty for a special id, and as long as a character is not complete.
    pub(crate) fn push(&mut self, id: u32) -> Result<String, String> {
        if let Some(words) = &self.codec.words {
            return Ok(words
                .get(id as usize)
                .map(|word| word.to_string())
                .unwrap_or_default());
        }
        let tokenizer = &*self.codec.tokenizer;
        let (ids, prefix, index) = (&mut self.ids, &mut self.prefix, &mut self.prefix_index);
        if let Ok(text) =
            tokenizers::tokenizer::step_decode_stream(tokenizer, vec![id], true, ids, prefix, index)
        {
            return Ok(text.unwrap_or_default());
        }
        // The text so far reads differently with the new id, as bytes that are no character can: begin anew with it.
        (self.ids, self.prefix, self.prefix_index) = (vec![id], String::new(), 0);
        tokenizer
            .decode(&[id], true)
            .map_err(|error| error.to_string())
    }

    /// The text of ids that never became a complete character.
    pub(crate) fn finish(&mut self) -> String {
        let text = self
            .codec
            .tokenizer
            .decode(&self.ids, true)
            .unwrap_or_default();
        text.strip_prefix(&*self.prefix)
            .map(str::to_owned)
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_id_has_its_own_text() {
        let codec = TextCodec::builtin().unwrap();
        assert_eq!(codec.vocab_size(), BUILTIN_VOCAB_SIZE);
        assert_eq!(codec.special(), [0, 1, 2, 3, 4, 5, 6]);
        for id in 7..BUILTIN_VOCAB_SIZE as u32 {
            let text = codec.decode(&[id]).unwrap();
            assert!(!text.is_empty());
            assert_eq!(codec.encode(&text, true).unwrap(), [id]);
            assert_eq!(codec.stream().push(id).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn text_of_any_ids_encodes_to_them(ids in prop::collection::vec(1..BUILTIN_VOCAB_SIZE as u32, 0..200)) {
            let codec = TextCodec::builtin().unwrap();
            let text = codec.decode(&ids).unwrap();
            prop_assert_eq!(codec.encode(&text, true).unwrap(), ids);
        }

        #[test]
        fn pieces_of_a_stream_are_the_text(ids in prop::collection::vec(7..BUILTIN_VOCAB_SIZE as u32, 0..50)) {
            let mut codec = TextCodec::builtin().unwrap();
            let whole = codec.decode(&ids).unwrap();
            let pieces = |codec: &TextCodec| {
                let mut stream = codec.stream();
                let text: String = ids.iter().map(|id| stream.push(*id).unwrap()).collect();
                text + &stream.finish()
            };
            prop_assert_eq!(&pieces(&codec), &whole);
            codec.words = None;
            prop_assert_eq!(&pieces(&codec), &whole);
        }

        #[test]
        fn any_text_encodes(text in ".{0,200}") {
            TextCodec::builtin().unwrap().encode(&text, true).unwrap();
        }
    }
}
