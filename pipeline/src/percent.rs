//! Percent-encoding of RFC 3986, in the few ways that the project writes it.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const PATH: &AsciiSet = &COMPONENT.remove(b'/');
const UNSEEN: &AsciiSet = &CONTROLS.add(b' ');

/// A part of a path or of a query: only what is unreserved everywhere stays.
pub fn component(text: &str) -> String {
    utf8_percent_encode(text, COMPONENT).to_string()
}

/// A path with its slashes.
pub fn path(text: &str) -> String {
    utf8_percent_encode(text, PATH).to_string()
}

/// Text for a header: only visible ASCII stays.
pub fn header(text: &str) -> String {
    utf8_percent_encode(text, UNSEEN).to_string()
}

/// The other way; `None` where it gives no UTF-8.
pub fn decoded(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_of_any_script_fit_a_path() {
        assert_eq!(component("yard-1.b"), "yard-1.b");
        assert_eq!(component("tür\"<?#/"), "t%C3%BCr%22%3C%3F%23%2F");
        assert_eq!(path("/a b/ä"), "/a%20b/%C3%A4");
        assert_eq!(header("höfe 1\n\"2\"\x7f"), "h%C3%B6fe%201%0A\"2\"%7F");
        assert_eq!(decoded("%FF"), None);
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in ".*") {
            prop_assert_eq!(decoded(&component(&text)), Some(text.clone()));
            prop_assert_eq!(decoded(&path(&text)), Some(text));
        }
    }
}
