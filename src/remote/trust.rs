//! Trust: which authorities a server's certificate is checked against. There is no way to leave the check out.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;

/// Why no certificate could ever be checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error("the machine's certificate authorities can't be read: {0}")]
    Native(String),
    #[error("there is no certificate authority to trust")]
    None,
    #[error("TLS can't be set up: {0}")]
    Tls(String),
}

/// TLS that trusts these authorities, or the machine's where none are given.
pub fn trusting(authorities: Option<&[CertificateDer<'static>]>) -> Result<Arc<ClientConfig>, TrustError> {
    let native;
    let authorities = match authorities {
        Some(authorities) => authorities,
        None => {
            let loaded = rustls_native_certs::load_native_certs();
            native = loaded.map_err(|error| TrustError::Native(error.to_string()))?;
            &native
        }
    };
    let mut roots = RootCertStore::empty();
    // A machine's store may well hold a few that nobody can read.
    let (added, _) = roots.add_parsable_certificates(authorities.iter().cloned());
    if added == 0 {
        return Err(TrustError::None);
    }
    // Named here: Pingora brings its own choice of cryptography, and the process has no default.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| TrustError::Tls(error.to_string()))?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}
