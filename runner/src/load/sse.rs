//! Server-sent events in recorded bytes, as the HTML standard frames them.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream>

use std::borrow::Cow;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event<'a> {
    /// The `event` field; empty when there is none.
    pub(super) name: &'a [u8],
    /// The `data` fields, joined by line feeds.
    pub(super) data: Cow<'a, [u8]>,
    /// Index after the event's last byte, its blank line included.
    pub(super) end: usize,
    /// Whether the blank line that completes it was there. Only the last one may lack it.
    pub(super) whole: bool,
}

/// Events of a stream. Events without data are not reported.
pub(super) struct Events<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Events<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let at = if bytes.starts_with(b"\xef\xbb\xbf") {
            3
        } else {
            0
        };
        Self { bytes, at }
    }

    /// What has not been read yet; it begins where an event does.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Leaves bytes out that are known to be whole events; gives where they end.
    pub(super) fn pass_over(&mut self, length: usize) -> usize {
        self.at += length;
        self.at
    }

    /// The next line without its end. `None` at the end of the bytes.
    fn line(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = rest.get(..length)?;
        let ending = match rest.get(length..) {
            Some([b'\r', b'\n', ..]) => 2,
            Some([_, ..]) => 1,
            Some([]) | None => 0,
        };
        self.at += length + ending;
        Some(line)
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let mut name: &[u8] = b"";
        let mut data: Option<Cow<'a, [u8]>> = None;
        while let Some(line) = self.line() {
            if line.is_empty() {
                match data.take() {
                    Some(data) => {
                        return Some(Event {
                            name,
                            data,
                            end: self.at,
                            whole: true,
                        });
                    }
                    None => name = b"",
                }
                continue;
            }
            let (field, value) = match memchr::memchr(b':', line) {
                Some(colon) => (&line[..colon], &line[colon + 1..]),
                None => (line, &b""[..]),
            };
            let value = value.strip_prefix(b" ").unwrap_or(value);
            match field {
                b"data" => match &mut data {
                    None => data = Some(Cow::Borrowed(value)),
                    Some(data) => {
                        let data = data.to_mut();
                        data.push(b'\n');
                        data.extend_from_slice(value);
                    }
                },
                b"event" => name = value,
                // Comments have an empty name; `id`, `retry` and unknown fields say nothing about tokens.
                _ => {}
            }
        }
        data.map(|data| Event {
            name,
            data,
            end: self.at,
            whole: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(text: &str) -> Vec<String> {
        Events::new(text.as_bytes())
            .map(|event| String::from_utf8_lossy(&event.data).into_owned())
            .collect()
    }

    #[test]
    fn every_line_ending_ends_lines() {
        for ending in ["\n", "\r\n", "\r"] {
            let text = [
                "data: a",
                "",
                ": comment",
                "data: b",
                "data:c",
                "",
                "id: 7",
                "",
                "event: error",
                "data:  d",
                "",
                "",
            ]
            .join(ending);
            assert_eq!(data(&text), ["a", "b\nc", " d"], "{ending:?}");
            let names: Vec<Vec<u8>> = Events::new(text.as_bytes())
                .map(|event| event.name.to_vec())
                .collect();
            assert_eq!(names, [b"".to_vec(), b"".to_vec(), b"error".to_vec()]);
        }
    }

    #[test]
    fn ends_include_the_blank_line() {
        let ends: Vec<(usize, bool)> = Events::new(b"data: a\n\ndata: b\r\n\r\ndata: c")
            .map(|event| (event.end, event.whole))
            .collect();
        assert_eq!(ends, [(9, true), (20, true), (27, false)]);
    }

    #[test]
    fn a_field_without_a_colon_is_empty_data() {
        assert_eq!(data("data\n\n"), [""]);
        assert_eq!(data("\u{feff}data: x\n\n"), ["x"]);
        assert_eq!(data("database: x\n\n"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), Just(b' '), Just(b'd'), any::<u8>()], 0..300)) {
            let mut last_end = 0;
            for event in Events::new(&bytes) {
                prop_assert!(event.end > last_end && event.end <= bytes.len());
                last_end = event.end;
            }
        }
    }
}
