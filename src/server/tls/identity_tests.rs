//! Every form of a key, and every mistake with its fix.

use std::fs;
use std::path::PathBuf;

use p12_keystore::{Certificate, KeyStoreEntry, PrivateKey, PrivateKeyChain};

use super::*;

/// Files of a key and its certificate.
struct Scene {
    folder: tempfile::TempDir,
    key: KeyPair,
    certificate: rcgen::Certificate,
}

impl Scene {
    fn new() -> Scene {
        Scene::of(CertificateParams::new(["localhost".to_owned()]).unwrap())
    }

    fn of(parameters: CertificateParams) -> Scene {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let scene = Scene { folder: tempfile::tempdir().unwrap(), key, certificate };
        scene.write("key.pem", scene.key.serialize_pem());
        scene.write("cert.pem", scene.certificate.pem());
        scene
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn pem(&self, key: &str, certificate: &str) -> Result<Loaded, TlsError> {
        let path = |name: &str| self.folder.path().join(name);
        let source =
            TlsIdentity::Pem { private_key_file: path(key), certificate_file: path(certificate) };
        load(&source, &[], &rustls::crypto::ring::default_provider())
    }

    fn keystore(&self, password: &str) -> Vec<u8> {
        let key = PrivateKey::from_der(&self.key.serialize_der()).unwrap();
        let certificate = Certificate::from_der(self.certificate.der()).unwrap();
        let mut store = KeyStore::new();
        let chain = PrivateKeyChain::new("1", key, [certificate]);
        store.add_entry("server", KeyStoreEntry::PrivateKeyChain(chain));
        store.writer(password).write().unwrap()
    }

    fn pkcs12(&self, content: &[u8]) -> Result<Loaded, TlsError> {
        let keystore = self.write("store.p12", content);
        pkcs12(&keystore, &Password::new("changeit"), &rustls::crypto::ring::default_provider())
    }

    /// The message with the folder cut out.
    fn message(&self, result: Result<Loaded, TlsError>) -> String {
        let error = result.err().unwrap().to_string();
        error.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn every_form_of_a_private_key_is_read() {
    let scene = Scene::new();
    let loaded = scene.pem("key.pem", "cert.pem").unwrap();
    assert_eq!((loaded.key.cert.len(), loaded.warnings.len()), (1, 0));
    // The last field of PKCS#8 is the key as SEC 1 has it: version, algorithm, key.
    let pkcs8 = scene.key.serialize_der();
    let (_, fields) = x509_parser::der_parser::parse_der(&pkcs8).unwrap();
    let sec1 = fields.as_sequence().unwrap()[2].as_slice().unwrap();
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, sec1);
    let name = "EC PRIVATE KEY";
    scene.write("sec1.pem", format!("-----BEGIN {name}-----\n{text}\n-----END {name}-----\n"));
    let loaded = scene.pem("sec1.pem", "cert.pem").unwrap();
    assert_eq!(loaded.key.cert[0], *scene.certificate.der());
    // A certificate in front of the key, in one file for both, as some tools write it.
    scene.write("both.pem", format!("{}{}", scene.certificate.pem(), scene.key.serialize_pem()));
    assert!(scene.pem("both.pem", "both.pem").is_ok());
}

#[test]
fn a_java_keystore_of_type_pkcs12_is_read() {
    let scene = Scene::new();
    let loaded = scene.pkcs12(&scene.keystore("changeit")).unwrap();
    assert_eq!(loaded.key.cert[0], *scene.certificate.der());
}

#[test]
fn every_mistake_names_its_key_its_file_and_the_fix() {
    let scene = Scene::new();
    scene.write("other.pem", KeyPair::generate().unwrap().serialize_pem());
    scene.write("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n");
    scene.write("empty.pem", "");
    scene.write("large.pem", vec![b'x'; 2 << 20]);
    scene.write("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    for (key, certificate, expected) in [
        ("gone.pem", "cert.pem", "private_key_file: gone.pem: cannot be read: No such file"),
        ("key.pem", "gone.pem", "certificate_file: gone.pem: cannot be read: No such file"),
        ("cert.pem", "key.pem", "private_key_file: cert.pem: holds a certificate and no private"),
        ("encrypted.pem", "cert.pem", "private_key_file: encrypted.pem: the key is encrypted; de"),
        ("empty.pem", "cert.pem", "private_key_file: empty.pem: holds no private key in PEM form"),
        ("large.pem", "cert.pem", "private_key_file: large.pem: is larger than 1048576 bytes"),
        ("key.pem", "key.pem", "certificate_file: key.pem: holds no certificate in PEM form"),
        ("key.pem", "bad.pem", "certificate_file: bad.pem: is no certificate that can be served"),
        (
            "other.pem",
            "cert.pem",
            "certificate_file: cert.pem: does not belong to the key in other",
        ),
    ] {
        let message = scene.message(scene.pem(key, certificate));
        assert!(message.starts_with(expected), "{message}\nis not {expected}");
    }
    let jks = scene.message(scene.pkcs12(b"\xfe\xed\xfe\xed\0\0\0\x02"));
    assert!(jks.contains("keystore: store.p12: is in Java's own format (JKS); convert"), "{jks}");
    let wrong = scene.message(scene.pkcs12(&scene.keystore("hunter2")));
    assert!(wrong.starts_with("keystore: store.p12: cannot be opened: keystore_pass is not"));
    let text = scene.message(scene.pkcs12(b"text"));
    assert!(text.starts_with("keystore: store.p12: cannot be opened: "), "{text}");
}

#[test]
fn what_will_go_wrong_is_warned_of() {
    let now = OffsetDateTime::now_utc();
    let warned = |from: OffsetDateTime, until: OffsetDateTime, mode: u32| {
        let mut parameters = CertificateParams::default();
        (parameters.not_before, parameters.not_after) = (from, until);
        let scene = Scene::of(parameters);
        let key = scene.folder.path().join("key.pem");
        fs::set_permissions(key, fs::Permissions::from_mode(mode)).unwrap();
        scene.pem("key.pem", "cert.pem").unwrap().warnings.join("; ")
    };
    let day = Duration::days(1);
    assert_eq!(warned(now - day, now + day * 30, 0o640), "");
    assert!(warned(now - day * 2, now - day, 0o600).contains("cert.pem: the certificate ended on"));
    assert!(warned(now - day, now + day, 0o600).contains("the certificate ends on"));
    assert!(warned(now + day, now + day * 30, 0o600).contains("good from"));
    let open = warned(now - day, now + day * 30, 0o644);
    assert!(open.contains("key.pem: every user can read the private key (mode 0644)"), "{open}");
}

#[test]
fn a_certificate_of_our_own_is_for_the_names_it_is_given() {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned(), "models.example".to_owned()];
    let provider = rustls::crypto::ring::default_provider();
    let loaded = self_signed(&names, &provider).unwrap();
    let (_, certificate) = X509Certificate::from_der(&loaded.key.cert[0]).unwrap();
    let names = certificate.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names.len(), 3);
    assert!(loaded.warnings[0].contains("self-signed"));
}
