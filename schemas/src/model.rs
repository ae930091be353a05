//! How a model is named: on a hub, built in, or by a path.

/// Names of the built-in models, behind `builtin:`.
pub const BUILTIN_MODELS: [&str; 2] = ["tiny", "small"];

/// What a user is told when the text is wrong.
pub(crate) const EXPECTED: &str = "a hub name like \"meta-llama/Llama-3.1-8B-Instruct\", \"builtin:tiny\", \"builtin:small\", or a path that starts with `.` or `/`";

/// Form of a scenario's model.
pub(crate) const PATTERN: &str =
    r"^(builtin:(tiny|small)|[./].*|[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?)$";

/// Form of a profile's model, whose path may also start with `~` or `$NAME`.
pub(crate) const PLACE_PATTERN: &str =
    r"^(builtin:(tiny|small)|[./~$].*|[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9._-]+)?)$";

/// Where a model comes from, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelName<'a> {
    /// `builtin:NAME`, without the prefix.
    Builtin(&'a str),
    /// A directory: it starts with `.` or `/`, in a profile also with `~` or `$`.
    Path(&'a str),
    /// A name on a hub.
    Hub(&'a str),
}

impl<'a> ModelName<'a> {
    /// Tells the three apart by their first characters; a file that was read has only well-formed ones.
    pub fn of(name: &'a str) -> Self {
        if let Some(builtin) = name.strip_prefix("builtin:") {
            Self::Builtin(builtin)
        } else if name.starts_with(['.', '/', '~', '$']) {
            Self::Path(name)
        } else {
            Self::Hub(name)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_their_start() {
        assert_eq!(ModelName::of("builtin:tiny"), ModelName::Builtin("tiny"));
        assert_eq!(ModelName::of("./models/a"), ModelName::Path("./models/a"));
        assert_eq!(ModelName::of("~/models/a"), ModelName::Path("~/models/a"));
        assert_eq!(ModelName::of("org/name"), ModelName::Hub("org/name"));
    }

    #[test]
    fn patterns_know_every_builtin_model() {
        for pattern in [PATTERN, PLACE_PATTERN] {
            let pattern = regex::Regex::new(pattern).unwrap();
            for name in BUILTIN_MODELS {
                assert!(pattern.is_match(&format!("builtin:{name}")));
            }
            assert!(!pattern.is_match("builtin:huge"));
            assert!(!pattern.is_match("a/b/c"));
        }
    }
}
