//! Which key and certificate the `https://` addresses have: TorchServe's five keys.
//!
//! Called by `mod.rs`; the files are read by `server/tls/`, before an address is opened. As in
//! TorchServe a `keystore` comes before the pair of PEM files, and a server that has neither makes
//! itself a certificate.

use std::fmt;
use std::path::PathBuf;

use super::Config;
use super::address::Role;
use super::error::{ConfigError, Note};
use super::source::Gathered;
use super::typed::Typed;

/// Where the private key and the certificate come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum TlsIdentity {
    /// Made at the start, for this run: clients have to be told to trust it.
    #[default]
    SelfSigned,
    /// `private_key_file` and `certificate_file`.
    Pem {
        /// One private key, PKCS#8, PKCS#1 or SEC 1.
        private_key_file: PathBuf,
        /// The certificate, then those that lead to the authority.
        certificate_file: PathBuf,
    },
    /// `keystore`.
    Pkcs12 {
        /// The file.
        keystore: PathBuf,
        /// `keystore_pass`.
        password: Password,
    },
}

/// A password; shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// The identity that the keys describe.
pub(super) fn identity(config: &Config, typed: &Typed, found: &mut Gathered) -> TlsIdentity {
    let identity = match read(typed, found) {
        Ok(identity) => identity,
        Err(error) => {
            found.errors.push(error);
            return TlsIdentity::SelfSigned;
        }
    };
    let serves_tls = Role::ALL.iter().any(|role| config.address(*role).is_tls());
    if !serves_tls
        && identity != TlsIdentity::SelfSigned
        && let Some(setting) =
            ["keystore", "private_key_file"].iter().find_map(|key| found.settings.get(*key))
    {
        let (origin, key) = (&setting.origin, &setting.key);
        found
            .notes
            .push(Note::warning(format!("{origin}: {key}: has no effect: no address is https://")));
    }
    identity
}

fn read(typed: &Typed, found: &Gathered) -> Result<TlsIdentity, ConfigError> {
    if let Some(keystore) = typed.path("keystore") {
        let kind = typed.text("keystore_type").unwrap_or_default();
        if !kind.eq_ignore_ascii_case("PKCS12") {
            let problem = if kind.eq_ignore_ascii_case("JKS") {
                let shown = keystore.display();
                format!(
                    "JKS is Java's own format and cannot be read; convert the file: keytool \
                     -importkeystore -srckeystore {shown} -destkeystore {shown}.p12 -deststoretype \
                     PKCS12, and set keystore={shown}.p12, keystore_type=PKCS12"
                )
            } else {
                "is not known; PKCS12 is".to_owned()
            };
            return Err(about("keystore_type", found, problem));
        }
        let password = Password(typed.text("keystore_pass").unwrap_or_default());
        return Ok(TlsIdentity::Pkcs12 { keystore, password });
    }
    match (typed.path("private_key_file"), typed.path("certificate_file")) {
        (Some(private_key_file), Some(certificate_file)) => {
            Ok(TlsIdentity::Pem { private_key_file, certificate_file })
        }
        (Some(_), None) => {
            let problem = "needs its certificate: set certificate_file as well";
            Err(about("private_key_file", found, problem.to_owned()))
        }
        (None, Some(_)) => {
            let problem = "needs its private key: set private_key_file as well";
            Err(about("certificate_file", found, problem.to_owned()))
        }
        (None, None) => Ok(TlsIdentity::SelfSigned),
    }
}

/// An error about a key, at its place.
fn about(key: &str, found: &Gathered, problem: String) -> ConfigError {
    match found.settings.get(key) {
        Some(setting) => setting.error(problem),
        None => ConfigError::unset(key, problem),
    }
}

// === impl Password ===

impl Password {
    /// A password.
    pub fn new(password: &str) -> Password {
        Password(password.to_owned())
    }

    /// The password itself, for the one who opens the file.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Overrides;
    use crate::config::ConfigErrors;

    fn load(text: &str) -> Result<Config, ConfigErrors> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("c"), text).unwrap();
        let overrides = Overrides {
            ts_config: Some(folder.path().join("c")),
            model_store: Some(folder.path().into()),
            ..Overrides::default()
        };
        Config::load(&overrides, &std::collections::BTreeMap::new())
    }

    const HTTPS: &str = "inference_address=https://127.0.0.1:8443\n";

    #[test]
    fn the_identity_is_a_keystore_else_a_pair_else_made() {
        let identity = |lines: &str| load(&format!("{HTTPS}{lines}")).unwrap().tls;
        assert_eq!(identity(""), TlsIdentity::SelfSigned);
        let pair = "private_key_file=k.pem\ncertificate_file=c.pem\n";
        let pem =
            TlsIdentity::Pem { private_key_file: "k.pem".into(), certificate_file: "c.pem".into() };
        assert_eq!(identity(pair), pem);
        let both = format!("{pair}keystore=k.p12\nkeystore_type=pkcs12");
        let password = Password("changeit".to_owned());
        assert_eq!(identity(&both), TlsIdentity::Pkcs12 { keystore: "k.p12".into(), password });
    }

    #[test]
    fn half_a_pair_and_a_java_keystore_are_said_with_the_fix() {
        for (lines, part) in [
            ("private_key_file=k", "private_key_file: needs its certificate: set certificate_file"),
            ("certificate_file=c", "certificate_file: needs its private key: set private_key_file"),
            ("keystore=k\nkeystore_type=JKS", "keystore_type: JKS is Java's own format"),
            ("keystore=k\nkeystore_type=JKS", "-deststoretype PKCS12"),
            ("keystore=k\nkeystore_type=x", "keystore_type: is not known; PKCS12 is"),
        ] {
            let error = load(&format!("{HTTPS}{lines}")).unwrap_err().to_string();
            assert!(error.contains(part), "{error} does not say {part}");
        }
    }

    #[test]
    fn a_key_without_an_https_address_is_a_warning_and_a_password_is_never_shown() {
        let config = load("keystore=k.p12\nkeystore_pass=hunter2\n").unwrap();
        let said: Vec<String> = config.notes.iter().map(|note| note.text.clone()).collect();
        assert!(said.iter().any(|text| text.contains("no address is https://")), "{said:?}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
