//! Optional texts of many requests in one piece of memory.

/// A list of texts, some of which are missing. A million short ones cost their letters and a few bytes each, not an allocation each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts {
    letters: String,
    /// Where in `letters` each text ends.
    ends: Vec<usize>,
    present: Vec<bool>,
}

impl Texts {
    /// Adds a text, or the lack of one.
    pub fn push(&mut self, text: Option<&str>) {
        self.letters.push_str(text.unwrap_or_default());
        self.ends.push(self.letters.len());
        self.present.push(text.is_some());
    }

    /// The text at this place; `None` where there is none.
    pub fn get(&self, index: usize) -> Option<&str> {
        if !*self.present.get(index)? {
            return None;
        }
        let from = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.letters.get(from..*self.ends.get(index)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_and_empty_are_told_apart() {
        let mut texts = Texts::default();
        let given = [Some("größer"), None, Some(""), Some("x")];
        given.into_iter().for_each(|text| texts.push(text));
        for (index, text) in given.into_iter().enumerate() {
            assert_eq!(texts.get(index), text);
        }
        assert_eq!(texts.get(4), None);
    }
}
