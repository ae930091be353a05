//! The spanned tree of a TOML file, with the look-ups that checks need; what is absent or of another type is `None`.

use std::ops::Range;

use toml::{
    Spanned,
    de::{DeInteger, DeTable, DeValue, Error},
};

/// Parses as much as can be parsed; every syntax error comes back beside it.
pub(super) fn parse(text: &str) -> (Spanned<DeValue<'_>>, Vec<Error>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    (
        Spanned::new(table.span(), DeValue::Table(table.into_inner())),
        errors,
    )
}

/// A value, and where its key stands if it has one.
#[derive(Clone)]
pub(super) struct Node<'a> {
    pub(super) key: Option<Range<usize>>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Node<'a> {
    /// The file itself.
    pub(super) fn root(tree: &'a Spanned<DeValue<'a>>) -> Self {
        Self {
            key: None,
            value: tree,
        }
    }

    /// The value.
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Where the value stands; of a table its header, of a dotted key the key.
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }

    /// Where the key stands, or the value where there is none.
    pub(super) fn key_span(&self) -> Range<usize> {
        self.key.clone().unwrap_or_else(|| self.span())
    }

    /// Keys and values of a table in the order of the file; empty for anything else.
    pub(super) fn entries(&self) -> Vec<(&'a str, Node<'a>)> {
        let Some(table) = self.value().as_table() else {
            return Vec::new();
        };
        table
            .iter()
            .map(|(key, value)| {
                (
                    key.get_ref().as_ref(),
                    Node {
                        key: Some(key.span()),
                        value,
                    },
                )
            })
            .collect()
    }

    /// The value of a key of this table.
    pub(super) fn get(&self, key: &str) -> Option<Node<'a>> {
        self.entries()
            .into_iter()
            .find(|(name, _)| *name == key)
            .map(|(_, node)| node)
    }

    /// The value behind several keys.
    pub(super) fn at(&self, path: &[&str]) -> Option<Node<'a>> {
        path.iter()
            .try_fold(self.clone(), |node, key| node.get(key))
    }

    /// The elements of a list; empty for anything else.
    pub(super) fn elements(&self) -> Vec<Node<'a>> {
        let Some(array) = self.value().as_array() else {
            return Vec::new();
        };
        array
            .iter()
            .map(|value| Node { key: None, value })
            .collect()
    }

    /// The elements of a list, or the single value itself.
    pub(super) fn values(&self) -> Vec<Node<'a>> {
        if self.value().is_array() {
            self.elements()
        } else {
            vec![self.clone()]
        }
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Option<&'a str> {
        self.value().as_str()
    }

    /// A boolean.
    pub(super) fn truth(&self) -> Option<bool> {
        self.value().as_bool()
    }

    /// An integer of TOML's range, in any radix.
    pub(super) fn integer(&self) -> Option<i64> {
        self.value().as_integer().and_then(integer)
    }

    /// A finite number, integer or not.
    pub(super) fn number(&self) -> Option<f64> {
        match self.value() {
            DeValue::Integer(number) => integer(number).map(|number| number as f64),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
