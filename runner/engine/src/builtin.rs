//! Built-in models as directories that other engines can load.

use std::path::Path;

use crate::error::EngineError;
use crate::model::config::ModelConfig;
use crate::tokenizer::{builtin_tokenizer_config, builtin_tokenizer_json};

/// Writes `config.json`, `tokenizer.json` and `tokenizer_config.json` of a built-in model, without weights, into a
/// folder, which is made if missing. Engines load it with random weights (`--load-format dummy`).
///
/// # Errors
/// When no built-in model has this name or a file cannot be written.
pub fn write_builtin_model(name: &str, folder: &Path) -> Result<(), EngineError> {
    let config =
        ModelConfig::builtin(name).ok_or_else(|| EngineError::UnknownModel(name.to_owned()))?;
    std::fs::create_dir_all(folder).map_err(|source| EngineError::io(folder, source))?;
    let write = |file: &str, content: &[u8]| {
        let path = folder.join(file);
        std::fs::write(&path, content).map_err(|source| EngineError::io(&path, source))
    };
    write(
        "config.json",
        format!("{:#}\n", config.to_json()).as_bytes(),
    )?;
    write(
        "tokenizer_config.json",
        format!("{:#}\n", builtin_tokenizer_config()).as_bytes(),
    )?;
    write("tokenizer.json", builtin_tokenizer_json())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ChatTemplate;
    use crate::tokenizer::{TextCodec, builtin_chat_template};

    #[test]
    fn what_is_written_is_what_is_built_in() {
        let folder = tempfile::tempdir().unwrap();
        write_builtin_model("builtin:small", folder.path()).unwrap();
        assert_eq!(
            ModelConfig::read(folder.path()).unwrap(),
            ModelConfig::builtin("builtin:small").unwrap()
        );
        assert_eq!(
            TextCodec::read(folder.path()).unwrap().special(),
            TextCodec::builtin().unwrap().special()
        );
        let messages = [serde_json::json!({"role": "user", "content": " ab"})];
        let read = ChatTemplate::read(folder.path()).unwrap().unwrap();
        assert_eq!(
            read.render(&messages, true).unwrap(),
            ChatTemplate::builtin()
                .unwrap()
                .render(&messages, true)
                .unwrap()
        );
        assert!(!builtin_chat_template().is_empty());
        assert!(write_builtin_model("builtin:huge", folder.path()).is_err());
    }
}
