//! What of an address may stand in logs, records and messages: nothing that may be a secret, in any spelling. Pure.

use super::scheme::SCHEMES;

/// `text` without user names and passwords, queries, fragments, and the last part of an RTMP path, which is the key of the stream. Of a
/// query not even the keys stay: a value that holds & looks like one. A slip in the spelling hides more, never less. What is no address of a network stays as it is.
pub(super) fn redact(text: &str) -> String {
    let Some((quote, scheme, slashes, rest)) = network(text) else { return text.to_owned() };
    // Wherever the last @ stands: a password may hold / ? and #.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (rest, fragment) =
        rest.split_once('#').map_or((rest, None), |(rest, fragment)| (rest, Some(fragment)));
    let (before, query) = rest.split_once('?').map_or((rest, None), |(before, query)| (before, Some(query)));
    let before = match before.rsplit_once('/') {
        Some((app, _key)) if scheme.to_ascii_lowercase().starts_with("rtmp") && app.contains('/') => {
            format!("{app}/***")
        }
        _ => before.to_owned(),
    };
    let user = if user.is_some() { "***@" } else { "" };
    let query = if query.is_some() { "?***" } else { "" };
    let fragment = if fragment.is_some() { "#***" } else { "" };
    format!("{quote}{scheme}:{slashes}{user}{before}{query}{fragment}")
}

/// Replaces what is secret in `address` wherever it stands alone in `text`, as servers and plugins repeat it.
pub(super) fn without_secrets(text: &str, address: &str) -> String {
    let Some((_, scheme, _, rest)) = network(address) else { return text.to_owned() };
    let (user, rest) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (path, query) = rest.split_once(['?', '#']).unwrap_or((rest, ""));
    let key = path.rsplit('/').next().filter(|_| scheme.to_ascii_lowercase().starts_with("rtmp"));
    let password = user.split_once(':').map(|(_, password)| password);
    let values =
        query.split(['&', '#', '?']).map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
    // Shorter ones are no secrets, and stand in any text.
    let secrets = password.into_iter().chain(key).chain(values).filter(|secret| secret.len() >= 4);
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
}

/// What stands before it (a quote), scheme, slashes and the rest of an address of a network; of one with too few slashes, too.
fn network(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once(':')?;
    let begins = before.rfind(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c));
    let (quote, scheme) =
        before.split_at(begins.map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8)));
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    let known = SCHEMES.iter().any(|(name, _)| scheme.eq_ignore_ascii_case(name));
    let local = ["test", "file"].iter().any(|name| scheme.eq_ignore_ascii_case(name));
    let foreign = slashes >= 2 && !scheme.is_empty();
    (slashes > 0 && (known || foreign) && !local).then(|| (quote, scheme, &rest[..slashes], &rest[slashes..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (given, shown) in [
            ("rtsp://me:pa@ss@cam:554/a?token=x&y", "rtsp://***@cam:554/a?***"),
            ("rtsp://me:pa/ss@cam/1", "rtsp://***@cam/1"),
            ("rtsp:/me:pass@cam/1", "rtsp:/***@cam/1"),
            ("srt://host:1?passphrase=secret", "srt://host:1?***"),
            ("rtmp://host/live/secret", "rtmp://host/live/***"),
            ("rtmp://host/live", "rtmp://host/live"),
            ("https://host/a.m3u8?secret#token=secret", "https://host/a.m3u8?***#***"),
            ("https://host/a.m3u8", "https://host/a.m3u8"),
            ("(\"rtsp://me:pass@cam/1\")", "(\"rtsp://***@cam/1\")"),
            ("/films/a@b?c.mp4", "/films/a@b?c.mp4"),
            ("note: all is well", "note: all is well"),
        ] {
            assert_eq!(redact(given), shown);
        }
    }

    #[test]
    fn a_secret_that_stands_alone_is_not_shown_either() {
        let said = |address| without_secrets("no stream hunter2 for you", address);
        for address in [
            "rtmp://host/live/hunter2",
            "rtsp://me:hunter2@cam/1",
            "http://host/a?hunter2",
            "srt://h?passphrase=hunter2",
        ] {
            assert_eq!(said(address), "no stream *** for you", "{address}");
        }
        assert_eq!(said("rtsp://cam/1"), "no stream hunter2 for you");
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_secret_is_shown(
            scheme in prop::sample::select(vec!["rtsp", "RTSPS", "http", "https", "srt", "rtmp", "udp"]),
            slashes in 1usize..4,
            before in "[a-z:/?#@%&=]{0,6}",
            after in "[a-z:/?#%&=]{0,6}",
            query in any::<bool>(),
        ) {
            let secret = format!("{before}SECRET{after}");
            let slashes = "/".repeat(slashes);
            let user = redact(&format!("{scheme}:{slashes}user:{secret}@host/a"));
            prop_assert!(!user.contains("SECRET"), "{}", user);
            let mark = if query { '?' } else { '#' };
            let value = redact(&format!("{scheme}:{slashes}host/a{mark}key={}", secret.replace('@', "")));
            prop_assert!(!value.contains("SECRET"), "{}", value);
        }
    }
}
