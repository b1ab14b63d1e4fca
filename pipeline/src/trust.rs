//! Whose certificates are believed.

use ureq::tls::{Certificate, RootCerts};

/// Those that this machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others); the well-known ones where it does not say.
pub fn roots() -> RootCerts {
    let known = rustls_native_certs::load_native_certs().certs;
    if known.is_empty() {
        return RootCerts::WebPki;
    }
    let certificates: Vec<_> = known.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    RootCerts::new_with_certs(&certificates)
}
