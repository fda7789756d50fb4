//! From the configured files to a key with its certificate.
//!
//! Called by `mod.rs` at the start and by `renewal.rs` later. Every error names the configuration key,
//! the file and the fix; none repeats what is in the file. Blocks on the disk.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::{Password, TlsIdentity};

/// The key and certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {file}: {problem}")]
pub struct TlsError {
    /// The configuration key.
    key: &'static str,
    /// The file's path, or what stands for it.
    file: String,
    /// What is wrong, and what to do.
    problem: String,
}

/// A key that can be served, and what the operator should know of it.
pub(super) struct Loaded {
    pub(super) key: CertifiedKey,
    pub(super) warnings: Vec<String>,
}

/// Largest file in bytes; keys and certificates have a few thousand.
const MAX_FILE_SIZE: u64 = 1 << 20;
/// From this many days before its end on, a certificate is warned of.
const ENDS_SOON: Duration = Duration::days(14);
/// How long a certificate of our own is good: longer than a server runs.
const OWN_VALIDITY: Duration = Duration::days(3650);
/// The first bytes of Java's own keystores.
const JKS: &[u8] = &[0xfe, 0xed, 0xfe, 0xed];

/// The key that `source` describes; `names` are the hosts of one that is made here.
///
/// # Errors
/// [`TlsError`].
pub(super) fn load(
    source: &TlsIdentity,
    names: &[String],
    provider: &CryptoProvider,
) -> Result<Loaded, TlsError> {
    match source {
        TlsIdentity::SelfSigned => self_signed(names, provider),
        TlsIdentity::Pem { private_key_file, certificate_file } => {
            pem(private_key_file, certificate_file, provider)
        }
        TlsIdentity::Pkcs12 { keystore, password } => pkcs12(keystore, password, provider),
    }
}

fn pem(key_file: &Path, chain_file: &Path, provider: &CryptoProvider) -> Result<Loaded, TlsError> {
    let about_key = |problem: &str| TlsError::at("private_key_file", key_file, problem);
    let about_chain = |problem: &str| TlsError::at("certificate_file", chain_file, problem);
    let text = read("private_key_file", key_file)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        let holds = |words: &str| text.windows(words.len()).any(|part| part == words.as_bytes());
        about_key(if holds("ENCRYPTED") {
            "the key is encrypted; decrypt it: openssl pkey -in FILE -out NEW, and name the new file"
        } else if holds("-----BEGIN CERTIFICATE") {
            "holds a certificate and no private key; are the two files swapped?"
        } else {
            "holds no private key in PEM form (PKCS#8, PKCS#1 or SEC 1); for a DER file: openssl \
             pkey -inform DER -in FILE -out NEW"
        })
    })?;
    let text = read("certificate_file", chain_file)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
        about_chain(
            "holds no certificate in PEM form; for a DER file: openssl x509 -inform DER -in FILE \
             -out NEW",
        )
    })?;
    let mut warnings = Vec::new();
    warnings.extend(readable_by_all("private_key_file", key_file));
    warnings.extend(validity("certificate_file", chain_file, &chain));
    let key = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            let shown = key_file.display();
            about_chain(&format!("does not belong to the key in {shown}; name the pair's files"))
        }
        rustls::Error::InvalidCertificate(error) => {
            about_chain(&format!("is no certificate that can be served: {error:?}"))
        }
        error => about_key(&format!("the key cannot be used: {error}; RSA, ECDSA and Ed25519 can")),
    })?;
    Ok(Loaded { key, warnings })
}

fn pkcs12(file: &Path, password: &Password, provider: &CryptoProvider) -> Result<Loaded, TlsError> {
    let about = |problem: &str| TlsError::at("keystore", file, problem);
    let bytes = read("keystore", file)?;
    if bytes.starts_with(JKS) {
        return Err(about(
            "is in Java's own format (JKS); convert it: keytool -importkeystore -srckeystore FILE \
             -destkeystore NEW.p12 -deststoretype PKCS12",
        ));
    }
    let opened = KeyStore::from_pkcs12(&bytes, password.expose(), Pkcs12ImportPolicy::Strict);
    let store = opened.map_err(|error| match error {
        p12_keystore::error::Error::MacError(_) => {
            about("cannot be opened: keystore_pass is not its password (the default is changeit)")
        }
        error => about(&format!(
            "cannot be opened: {error}; is it PKCS#12, and keystore_pass its password?"
        )),
    })?;
    let (_, found) = store
        .private_key_chain()
        .ok_or_else(|| about("holds no private key with its certificate"))?;
    let chain: Vec<CertificateDer<'static>> =
        found.certs().iter().map(|each| CertificateDer::from(each.as_der().to_vec())).collect();
    let mut warnings = Vec::new();
    warnings.extend(readable_by_all("keystore", file));
    warnings.extend(validity("keystore", file, &chain));
    let key = PrivatePkcs8KeyDer::from(found.key().as_der().to_vec());
    let key = CertifiedKey::from_der(chain, key.into(), provider).map_err(|error| {
        about(&format!("its key cannot be used: {error}; RSA, ECDSA and Ed25519 can"))
    })?;
    Ok(Loaded { key, warnings })
}

/// As TorchServe does where no key is configured: encrypted, and trusted by nobody who is not told.
fn self_signed(names: &[String], provider: &CryptoProvider) -> Result<Loaded, TlsError> {
    let made = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(names)?;
        parameters.distinguished_name = DistinguishedName::new();
        parameters.distinguished_name.push(DnType::CommonName, "Torchfront, self-signed");
        // A client's clock may be a little behind.
        parameters.not_before = OffsetDateTime::now_utc() - Duration::days(1);
        parameters.not_after = OffsetDateTime::now_utc() + OWN_VALIDITY;
        Ok((parameters.self_signed(&key)?, key))
    };
    let failed = |error: String| TlsError {
        key: "certificate_file",
        file: "(none)".to_owned(),
        problem: format!("no certificate could be made: {error}; set certificate_file"),
    };
    let (certificate, key) = made().map_err(|error| failed(error.to_string()))?;
    let chain = vec![certificate.der().clone()];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let key = CertifiedKey::from_der(chain, key.into(), provider)
        .map_err(|error| failed(error.to_string()))?;
    let warning = "the certificate is self-signed and new at each start: browsers refuse it, other \
                   clients must be told to trust it; set private_key_file and certificate_file";
    Ok(Loaded { key, warnings: vec![warning.to_owned()] })
}

fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error: std::io::Error| {
        TlsError::at(key, file, &format!("cannot be read: {error}; is the path right?"))
    };
    let mut bytes = Vec::new();
    let opened = File::open(file).map_err(unreadable)?;
    opened.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        let problem = format!("is larger than {MAX_FILE_SIZE} bytes; is it the right file?");
        return Err(TlsError::at(key, file, &problem));
    }
    Ok(bytes)
}

/// A private key that every user of the machine can read.
fn readable_by_all(key: &'static str, file: &Path) -> Option<String> {
    let mode = std::fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o007 != 0).then(|| {
        let file = file.display();
        format!("{key}: {file}: every user can read the private key (mode {mode:04o}): chmod 600")
    })
}

/// A certificate that is not good now, or not for long.
fn validity(key: &'static str, file: &Path, chain: &[CertificateDer<'_>]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(chain.first()?).ok()?;
    let (from, until) = (certificate.validity().not_before, certificate.validity().not_after);
    let now = OffsetDateTime::now_utc();
    let problem = if until.to_datetime() < now {
        format!("the certificate ended on {until}; clients refuse it")
    } else if from.to_datetime() > now {
        format!("the certificate is good from {from} on; clients refuse it until then")
    } else if until.to_datetime() < now + ENDS_SOON {
        format!("the certificate ends on {until}")
    } else {
        return None;
    };
    Some(format!("{key}: {}: {problem}", file.display()))
}

// === impl TlsError ===

impl TlsError {
    fn at(key: &'static str, file: &Path, problem: &str) -> TlsError {
        TlsError { key, file: file.display().to_string(), problem: problem.to_owned() }
    }

    pub(super) fn protocol(error: rustls::Error) -> TlsError {
        TlsError { key: "TLS", file: "protocol versions".to_owned(), problem: error.to_string() }
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
