//! Texts as contents of JSON strings.

use bytes::Bytes;

/// A text as the content of a JSON string, without the quotes around it. Text that needs no escape is taken as it is.
pub(crate) fn json_content(text: &str) -> Bytes {
    if text
        .bytes()
        .all(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
    {
        return Bytes::copy_from_slice(text.as_bytes());
    }
    let quoted = Bytes::from(serde_json::Value::from(text).to_string());
    quoted.slice(1..quoted.len() - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_reads_back(text in any::<String>()) {
            let content = json_content(&text);
            let quoted = format!("\"{}\"", std::str::from_utf8(&content).expect("UTF-8"));
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).expect("JSON"), text);
        }
    }
}
