//! Fills the symbols of a launch: `{port.NAME}`, `{run}`, `{self}`.

use std::path::Path;

use thiserror::Error;

use super::ports::Ports;

/// What the symbols stand for.
#[derive(Debug, Clone, Copy)]
pub struct Symbols<'a> {
    /// Numbers of `{port.NAME}`.
    pub ports: &'a Ports,
    /// `{run}`.
    pub run_folder: &'a Path,
    /// `{self}`.
    pub executable: &'a Path,
}

/// A symbol that stands for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no port named `{port}` is known in `{text}`")]
pub struct UnknownPort {
    /// The port's name.
    pub port: String,
    /// The text that uses it.
    pub text: String,
}

impl Symbols<'_> {
    /// The text with its symbols filled. Other braces stand for themselves: arguments hold JSON.
    ///
    /// # Errors
    ///
    /// A port's name that is not known.
    pub fn fill(&self, text: &str) -> Result<String, UnknownPort> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('{') {
            filled.push_str(&rest[..start]);
            rest = &rest[start..];
            let Some((symbol, after)) = rest[1..].split_once('}') else {
                break;
            };
            match (symbol, symbol.strip_prefix("port.")) {
                ("run", _) => filled.push_str(&self.run_folder.to_string_lossy()),
                ("self", _) => filled.push_str(&self.executable.to_string_lossy()),
                (_, Some(port)) if is_name(port) => match self.ports.number(port) {
                    Some(number) => filled.push_str(&number.to_string()),
                    None => {
                        return Err(UnknownPort {
                            port: port.to_owned(),
                            text: text.to_owned(),
                        });
                    }
                },
                _ => {
                    filled.push('{');
                    rest = &rest[1..];
                    continue;
                }
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "-_.".contains(character))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fill(text: &str) -> Result<String, UnknownPort> {
        let ports = Ports::of_numbers([("a-b.c", 8000), ("x", 8001)]);
        Symbols {
            ports: &ports,
            run_folder: Path::new("/runs/1"),
            executable: Path::new("/bin/runner"),
        }
        .fill(text)
    }

    #[test]
    fn symbols_are_filled_and_other_braces_kept() {
        let text = r#"{self} --conf {run}/c.yaml {"port":{port.a-b.c},"more":{"x":"{port.x}"}} {port.} {run {}"#;
        let filled = r#"/bin/runner --conf /runs/1/c.yaml {"port":8000,"more":{"x":"8001"}} {port.} {run {}"#;
        assert_eq!(fill(text).as_deref(), Ok(filled));
    }

    #[test]
    fn an_unknown_port_is_named() {
        let error = fill("--port {port.y}").expect_err("no such port");
        assert_eq!(
            error.to_string(),
            "no port named `y` is known in `--port {port.y}`"
        );
    }

    proptest! {
        #[test]
        fn text_without_symbols_is_kept(text in "([{}\"a-z]|\\PC){0,60}") {
            prop_assume!(!text.contains("{run}") && !text.contains("{self}") && !text.contains("{port."));
            prop_assert_eq!(fill(&text), Ok(text));
        }
    }
}
