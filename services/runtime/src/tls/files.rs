//! The PEM files: what is configured, and reading them.

use super::{TlsError, provider};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file that is read, bytes. Kubernetes stores less.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The certificate of a process and the authority that has signed those of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleFiles {
    /// Certificates of the authority, PEM. It must sign for this installation only: whatever it signs with the name
    /// of a role is believed to be that role.
    pub ca_file: PathBuf,
    /// Our certificate and those between it and the authority's, PEM, ours first. It names the roles of the process
    /// and must be good for servers and clients.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
}

/// The certificate of a door for people and programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoorFiles {
    /// The certificate and those between it and the authority's, PEM, the door's first.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// Certificates of an authority, PEM: only clients whose certificate it has signed are let in. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ca_file: Option<PathBuf>,
}

impl RoleFiles {
    /// Adds what is wrong to `mistakes`, each with its path: files are read and tried.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        check(&Files::from(self.clone()), path, mistakes);
    }
}

impl DoorFiles {
    /// Adds what is wrong to `mistakes`, each with its path: files are read and tried.
    pub fn check(&self, path: &str, mistakes: &mut Vec<String>) {
        check(&Files::from(self.clone()), path, mistakes);
    }
}

fn check(files: &Files, path: &str, mistakes: &mut Vec<String>) {
    if let Err(error) = files.read().and_then(|pem| Material::parse(files, &pem)) {
        mistakes.push(format!("{path}: {error}"));
    }
}

/// Which files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) ca: Option<PathBuf>,
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl From<RoleFiles> for Files {
    fn from(files: RoleFiles) -> Self {
        Files {
            ca: Some(files.ca_file),
            cert: files.cert_file,
            key: files.key_file,
        }
    }
}

impl From<DoorFiles> for Files {
    fn from(files: DoorFiles) -> Self {
        Files {
            ca: files.client_ca_file,
            cert: files.cert_file,
            key: files.key_file,
        }
    }
}

/// What the files held when they were read. Has no `Debug`: one of them is a key.
pub(super) struct Pem {
    ca: Option<Vec<u8>>,
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Files {
    pub(super) fn read(&self) -> Result<Pem, TlsError> {
        Ok(Pem {
            ca: self.ca.as_deref().map(read).transpose()?,
            cert: read(&self.cert)?,
            key: read(&self.key)?,
        })
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || -> std::io::Result<Vec<u8>> {
        let bytes = std::fs::metadata(path)?.len();
        if bytes > FILE_BYTES_MAX {
            let message = format!("has {bytes} bytes, at most {FILE_BYTES_MAX} are read");
            return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message));
        }
        std::fs::read(path)
    };
    read().map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

impl Pem {
    /// Tells whether the files have changed. By content: a mounted secret changes as a symbolic link does, and times
    /// may go backwards.
    pub(super) fn hash(&self) -> [u8; 32] {
        let mut hasher = Sha256::new();
        for part in [self.ca.as_deref().unwrap_or_default(), &self.cert, &self.key] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.finalize().into()
    }
}

/// What the files mean.
pub(super) struct Material {
    /// The authority of the other side.
    pub(super) roots: Option<Arc<RootCertStore>>,
    /// Our certificate with its key.
    pub(super) own: Arc<CertifiedKey>,
}

impl Material {
    /// Reads certificates and key, and tries whether they go together.
    pub(super) fn parse(files: &Files, pem: &Pem) -> Result<Self, TlsError> {
        let certificates = certificates(&files.cert, &pem.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&pem.key).map_err(|_| TlsError::Content {
            path: files.key.clone(),
            // The error of the parser may quote a line, and a line may be of the key.
            problem: "has no private key in PEM".to_owned(),
        })?;
        let own =
            CertifiedKey::from_der(certificates, key, &provider()).map_err(|source| TlsError::Pair {
                cert: files.cert.clone(),
                key: files.key.clone(),
                source,
            })?;
        let roots = match (&files.ca, &pem.ca) {
            (Some(path), Some(ca)) => Some(Arc::new(roots(path, ca)?)),
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        };
        Ok(Material {
            roots,
            own: Arc::new(own),
        })
    }
}

fn roots(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path, pem)? {
        roots.add(certificate).map_err(|error| TlsError::Authority {
            path: path.to_owned(),
            problem: error.to_string(),
        })?;
    }
    Ok(roots)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let problem = |problem: String| TlsError::Content {
        path: path.to_owned(),
        problem,
    };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| problem(format!("is no PEM: {error}")))?;
    if certificates.is_empty() {
        return Err(problem("has no certificate".to_owned()));
    }
    Ok(certificates)
}
