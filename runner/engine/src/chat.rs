//! Chat messages to one prompt, by the model's own Jinja template.

use std::path::Path;

use minijinja::{Environment, Error, ErrorKind, context};
use serde::Deserialize;
use serde_json::Value;

use crate::error::EngineError;

const NAME: &str = "chat";

/// A chat template that was read and parsed.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    /// Texts of special ids that templates name: `bos_token`, `eos_token`, …
    special: serde_json::Map<String, Value>,
}

impl ChatTemplate {
    /// Parses the source of a template.
    ///
    /// # Errors
    /// When it is not valid Jinja.
    pub(crate) fn new(
        source: String,
        special: serde_json::Map<String, Value>,
    ) -> Result<Self, EngineError> {
        let mut environment = Environment::new();
        // As transformers renders: a line that holds only a block leaves nothing behind.
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_keep_trailing_newline(true);
        // Templates call methods of Python strings and lists, and refuse conversations they cannot express.
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |reason: String| -> Result<String, Error> {
                Err(Error::new(ErrorKind::InvalidOperation, reason))
            },
        );
        environment
            .add_template_owned(NAME, source)
            .map_err(EngineError::ChatTemplate)?;
        Ok(Self {
            environment,
            special,
        })
    }

    /// The template of the built-in models.
    pub(crate) fn builtin() -> Result<Self, EngineError> {
        Self::new(
            crate::tokenizer::builtin_chat_template().to_owned(),
            serde_json::Map::new(),
        )
    }

    /// The template of a model directory: `chat_template` in `tokenizer_config.json`, else the file
    /// `chat_template.jinja`; `None` when there is neither.
    ///
    /// # Errors
    /// When a file cannot be read or its template does not parse.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, EngineError> {
        let path = directory.join("tokenizer_config.json");
        let mut special = serde_json::Map::new();
        if let Some(text) = read_if_there(&path)? {
            let file: TokenizerConfig =
                serde_json::from_str(&text).map_err(|source| EngineError::Json { path, source })?;
            for (key, value) in file.rest {
                if let Some(text) = special_text(&key, &value) {
                    special.insert(key, text);
                }
            }
            if let Some(source) = file.chat_template.and_then(TemplateField::default) {
                return Self::new(source, special).map(Some);
            }
        }
        let source = read_if_there(&directory.join("chat_template.jinja"))?;
        source.map(|source| Self::new(source, special)).transpose()
    }

    /// The prompt of a conversation.
    ///
    /// # Errors
    /// What the template says about a conversation that it cannot express.
    pub(crate) fn render(
        &self,
        messages: &[Value],
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        let messages: Vec<Value> = messages.iter().map(flatten).collect();
        let special = minijinja::Value::from_serialize(&self.special);
        let values = context! { messages, add_generation_prompt, ..special };
        let template = self
            .environment
            .get_template(NAME)
            .map_err(|error| error.to_string())?;
        template.render(values).map_err(|error| error.to_string())
    }
}

fn read_if_there(path: &Path) -> Result<Option<String>, EngineError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(EngineError::io(path, source)),
    }
}

#[derive(Deserialize)]
struct TokenizerConfig {
    chat_template: Option<TemplateField>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

/// One template, or several with names.
#[derive(Deserialize)]
#[serde(untagged)]
enum TemplateField {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

impl TemplateField {
    fn default(self) -> Option<String> {
        match self {
            Self::One(source) => Some(source),
            Self::Named(named) => named
                .into_iter()
                .find(|template| template.name == "default")
                .map(|template| template.template),
        }
    }
}

/// The text of a special token, which is written as a string or as an object with `content`.
fn special_text(key: &str, value: &Value) -> Option<Value> {
    let text = value.as_str().or_else(|| value.get("content")?.as_str())?;
    key.ends_with("_token").then(|| Value::from(text))
}

/// A message whose content is one text: parts of a list are joined.
fn flatten(message: &Value) -> Value {
    let mut message = message.clone();
    if let Some(Value::Array(parts)) = message.get("content") {
        let text: String = parts
            .iter()
            .filter_map(|part| part.get("text")?.as_str())
            .collect();
        message["content"] = Value::from(text);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_reply_extends_the_prompt_that_led_to_it() {
        let template = ChatTemplate::builtin().unwrap();
        let first = [json!({"role": "user", "content": " ab cd"})];
        let prompt = template.render(&first, true).unwrap();
        assert_eq!(prompt, "«user» ab cd«end»«assistant»");
        let second = [
            first[0].clone(),
            json!({"role": "assistant", "content": " ef"}),
            json!({"role": "user", "content": [{"type": "text", "text": " g"}, {"type": "text", "text": "h"}]}),
        ];
        let next = template.render(&second, true).unwrap();
        assert_eq!(next, format!("{prompt} ef«end»«user» gh«end»«assistant»"));
    }

    #[test]
    fn templates_as_models_ship_them_are_rendered() {
        let folder = tempfile::tempdir().unwrap();
        let source = "{{ bos_token }}{% for m in messages %}\n  {%- if m['role'] not in ['user', 'assistant'] %}\n    \
                      {{- raise_exception('no ' + m.role) }}\n  {%- endif %}\n{{ m['content'].strip() | upper }}\n{% endfor %}";
        let config = json!({"bos_token": {"content": "<s>"}, "chat_template": [{"name": "default", "template": source}]});
        std::fs::write(
            folder.path().join("tokenizer_config.json"),
            config.to_string(),
        )
        .unwrap();
        let template = ChatTemplate::read(folder.path()).unwrap().unwrap();
        let messages = [
            json!({"role": "user", "content": "  hi "}),
            json!({"role": "assistant", "content": "yo"}),
        ];
        assert_eq!(template.render(&messages, false).unwrap(), "<s>HI\nYO\n");
        let refused = template
            .render(&[json!({"role": "robot", "content": ""})], false)
            .unwrap_err();
        assert!(refused.contains("no robot"), "{refused}");
        std::fs::write(folder.path().join("tokenizer_config.json"), "{}").unwrap();
        assert!(ChatTemplate::read(folder.path()).unwrap().is_none());
    }
}
