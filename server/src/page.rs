//! The page for people. It is made of `page/` by `make page` and lies in the program, packed too: a machine without Node
//! builds it, and one without a network shows it. It holds no data: what it shows it asks for, with the caller's token.

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use sha2::{Digest, Sha256};

use crate::problem::Problem;

/// Paths from the root of the page, sorted; packed ones end in `.br` and `.gz`.
const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));
const INDEX: &str = "index.html";
/// Their names change with what they hold.
const ASSETS: &str = "/assets/";
/// Only what comes from here runs, nothing that stands in the document, and no text becomes markup. Pictures and clips are fetched
/// with the token, so the page has them as `blob:`.
const POLICY: &str = "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// The page's own paths.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/", get(index)).route("/assets/{*path}", get(asset))
}

/// Is it asked for without a token?
pub(crate) fn is_open(path: &str) -> bool {
    path == "/" || path.starts_with(ASSETS)
}

async fn index(headers: HeaderMap) -> Response {
    serve(INDEX, "no-cache", &headers)
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    serve(&format!("assets/{path}"), "public, max-age=31536000, immutable", &headers)
}

fn file(name: &str) -> Option<&'static [u8]> {
    FILES.binary_search_by_key(&name, |(name, _)| name).ok().map(|at| FILES[at].1)
}

fn serve(name: &str, caching: &'static str, asked: &HeaderMap) -> Response {
    let Some(kind) = kind(name) else { return missing(name) };
    let Some((bytes, packing)) = packed(name, asked) else { return missing(name) };
    // Each packing has its own: they are other bytes.
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(bytes)[..12]));
    let known = asked.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let fresh =
        known.is_some_and(|known| known.split(',').any(|one| one.trim().trim_start_matches("W/") == tag));
    let mut response = if fresh { StatusCode::NOT_MODIFIED.into_response() } else { bytes.into_response() };
    let headers = response.headers_mut();
    let mut set =
        |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    set(header::CONTENT_TYPE, kind);
    set(header::CACHE_CONTROL, caching);
    set(header::VARY, "accept-encoding");
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()");
    if let Some(packing) = packing {
        set(header::CONTENT_ENCODING, packing);
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

fn missing(name: &str) -> Response {
    Problem::not_found(format!("the page has no file \"{name}\"")).into_response()
}

/// A packed file is not asked for by its name.
fn kind(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// The smallest form that the client takes.
fn packed(name: &str, asked: &HeaderMap) -> Option<(&'static [u8], Option<&'static str>)> {
    for (packing, ending) in [("br", "br"), ("gzip", "gz")] {
        if takes(asked, packing)
            && let Some(bytes) = file(&format!("{name}.{ending}"))
        {
            return Some((bytes, Some(packing)));
        }
    }
    Some((file(name)?, None))
}

fn takes(asked: &HeaderMap, packing: &str) -> bool {
    let named = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(packing));
        let weight = parts.find_map(|part| part.strip_prefix("q=")).map(|weight| weight.parse::<f32>());
        is_it && weight.is_none_or(|weight| weight.is_ok_and(|weight| weight > 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    fn header_of(response: &Response, name: HeaderName) -> Option<&str> {
        response.headers().get(name).map(|value| value.to_str().expect("text"))
    }

    #[test]
    fn the_page_is_there_and_names_only_files_that_are() {
        let index = std::str::from_utf8(file(INDEX).expect("the page")).expect("text");
        let mut names =
            index.split('"').filter_map(|part| part.strip_prefix('/')).filter(|name| !name.is_empty());
        assert!(
            names.clone().any(|name| name.ends_with(".js"))
                && names.clone().any(|name| name.ends_with(".css"))
        );
        assert!(names.all(|name| file(name).is_some()), "{index}");
        assert!(
            !index.contains("<script>") && !index.contains("style="),
            "the policy lets nothing inline in"
        );
    }

    #[test]
    fn it_comes_packed_for_those_who_take_it() {
        let (script, _) = FILES.iter().find(|(name, _)| name.ends_with(".js")).expect("a script");
        let packing = |wanted: &str| {
            let response = serve(script, "immutable", &asked(header::ACCEPT_ENCODING, wanted));
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(header_of(&response, header::CONTENT_TYPE), Some("text/javascript; charset=utf-8"));
            header_of(&response, header::CONTENT_ENCODING).map(str::to_owned)
        };
        assert_eq!(packing("gzip, deflate, br").as_deref(), Some("br"));
        assert_eq!(packing("gzip, br;q=0").as_deref(), Some("gzip"));
        assert_eq!(packing("identity"), None);
    }

    #[test]
    fn what_a_browser_has_is_not_sent_again() {
        let first = serve(INDEX, "no-cache", &HeaderMap::new());
        let tag = header_of(&first, header::ETAG).expect("a tag").to_owned();
        assert!(
            header_of(&first, header::CONTENT_SECURITY_POLICY)
                .is_some_and(|policy| !policy.contains("unsafe"))
        );
        let again = serve(INDEX, "no-cache", &asked(header::IF_NONE_MATCH, &format!("\"x\", W/{tag}")));
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(serve(INDEX, "no-cache", &asked(header::IF_NONE_MATCH, "\"x\"")).status(), StatusCode::OK);
    }

    #[test]
    fn only_files_of_the_page_are_served() {
        for name in ["assets/none.js", "assets/../index.html", "index.html.br", ""] {
            assert_eq!(serve(name, "no-cache", &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{name}");
        }
        assert!(is_open("/") && is_open("/assets/a.js") && !is_open("/v1/streams") && !is_open("/assets"));
    }
}
