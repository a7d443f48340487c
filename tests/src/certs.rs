//! A small certificate authority for one test, and the certificates that must be refused; knows nothing of brokers.

use std::ops::Range;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

/// The paths of one certificate and its key, PEM.
#[derive(Debug, Clone)]
pub struct Pair {
    /// The certificate.
    pub cert: PathBuf,
    /// Its private key, PKCS#8.
    pub key: PathBuf,
}

/// A set of PEM files in a directory of its own, gone when this is dropped.
#[derive(Debug)]
pub struct Certs {
    dir: TempDir,
    /// The authority that signed everything here.
    pub ca: PathBuf,
    /// Another authority that signed nothing here.
    pub other_ca: PathBuf,
    /// For the server `localhost`, `127.0.0.1`.
    pub server: Pair,
    /// As `server`, but its time ran out in 2021.
    pub expired: Pair,
    /// As `server`, but its time runs out in 2030.
    pub brief: Pair,
    /// As `server`, but signed by the other authority.
    pub foreign: Pair,
    /// As `server`, but its time begins in 2036.
    pub later: Pair,
    /// As `server`, but for the server `elsewhere.example`.
    pub elsewhere: Pair,
    /// For a client.
    pub client: Pair,
    /// For a client, signed by the other authority.
    pub stranger: Pair,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

impl Certs {
    /// Makes them all.
    pub fn generate() -> Self {
        let dir = tempfile::Builder::new().prefix("twinlet-certs-").tempdir().unwrap();
        readable(dir.path(), 0o755);
        let at = dir.path().to_path_buf();
        let ours = authority("twinlet test CA");
        let other = authority("some other CA");
        Self {
            ca: write(&at, "ca.pem", &ours.pem()),
            other_ca: write(&at, "other-ca.pem", &other.pem()),
            server: server(&at, "server", &ours, 2020..2099),
            expired: server(&at, "expired", &ours, 2020..2021),
            brief: server(&at, "brief", &ours, 2020..2030),
            foreign: server(&at, "foreign", &other, 2020..2099),
            later: server(&at, "later", &ours, 2036..2099),
            elsewhere: server_of(&at, "elsewhere", &["elsewhere.example"], &ours, 2020..2099),
            client: client(&at, "client", &ours),
            stranger: client(&at, "stranger", &other),
            dir,
        }
    }

    /// What stands under the name of `server` now, under another name.
    pub fn of_server(&self) -> Pair {
        let (cert, key) = (self.dir().join("before.pem"), self.dir().join("before.key"));
        std::fs::copy(&self.server.cert, &cert).unwrap();
        std::fs::copy(&self.server.key, &key).unwrap();
        Pair { cert, key }
    }

    /// Puts another certificate under the name of `server`, as one that is renewed.
    pub fn renew_server(&self, with: &Pair) {
        for (from, to) in [(&with.cert, &self.server.cert), (&with.key, &self.server.key)] {
            std::fs::copy(from, to).unwrap();
        }
    }

    /// Where the files lie.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server(at: &Path, name: &str, ca: &Authority, years: Range<i32>) -> Pair {
    server_of(at, name, &["localhost", "127.0.0.1"], ca, years)
}

fn server_of(at: &Path, name: &str, hosts: &[&str], ca: &Authority, years: Range<i32>) -> Pair {
    let names: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name.push(DnType::CommonName, hosts[0]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(years.start, 1, 1);
    params.not_after = date_time_ymd(years.end, 1, 1);
    signed(at, name, ca, params)
}

fn client(at: &Path, name: &str, ca: &Authority) -> Pair {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    signed(at, name, ca, params)
}

fn signed(at: &Path, name: &str, ca: &Authority, mut params: CertificateParams) -> Pair {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let cert = params.signed_by(&key, ca).unwrap();
    Pair {
        cert: write(at, &format!("{name}.pem"), &cert.pem()),
        key: write(at, &format!("{name}.key"), &key.serialize_pem()),
    }
}

fn write(at: &Path, name: &str, text: &str) -> PathBuf {
    let path = at.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// Opens a path to the user that mosquitto drops to when it is started by root.
pub(crate) fn readable(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}
