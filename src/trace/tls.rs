//! Whom the exporter trusts: the system's certificates, or those of
//! `OTEL_EXPORTER_OTLP_CERTIFICATE`.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Reads them.
///
/// # Errors
/// When there are none.
pub(super) fn client_config(certificate: Option<&Path>) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    match certificate {
        None => {
            let found = rustls_native_certs::load_native_certs();
            let (_, _unreadable) = roots.add_parsable_certificates(found.certs);
        }
        Some(path) => {
            let unusable = |reason: String| {
                io::Error::other(format!(
                    "certificate of the collector, {}: {reason}",
                    path.display()
                ))
            };
            let certificates =
                CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
        }
    }
    if roots.is_empty() {
        return Err(io::Error::other(
            "no certificate to trust a collector by; install ca-certificates, or name a file with \
             OTEL_EXPORTER_OTLP_CERTIFICATE",
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
