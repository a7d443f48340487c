//! A real S3 server on loopback, which checks every signature: crate `s3s` over a directory. Knows nothing of components.

use std::fs;
use std::net::SocketAddr;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::artifacts::{Artifact, sha256};

/// The access key and the secret key that the store knows.
pub const KEYS: (&str, &str) = ("device", "correct horse battery");

/// A running store; ends when dropped.
pub struct ObjectStore {
    address: SocketAddr,
    dir: TempDir,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

impl ObjectStore {
    /// Listens on a free port.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("twinlet-s3-").tempdir().unwrap();
        let files = s3s_fs::FileSystem::new(dir.path()).unwrap();
        let mut builder = S3ServiceBuilder::new(files);
        builder.set_auth(SimpleAuth::from_single(KEYS.0, KEYS.1));
        let service = builder.build();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = accept(&listener, &service) => {}
                    _ = ended => {}
                }
            });
        };
        std::thread::Builder::new().name("object-store".to_owned()).spawn(run).unwrap();
        Self { address, dir, _end: end }
    }

    /// What goes into `MINIO_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Puts an object into a bucket.
    pub fn put(&self, bucket: &str, key: &str, bytes: &[u8]) -> Artifact {
        let path = self.dir.path().join(bucket).join(key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        Artifact { url: format!("s3://{bucket}/{key}"), sha256: sha256(bytes), size: bytes.len() }
    }
}

async fn accept(listener: &TcpListener, service: &S3Service) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service.clone());
        // A client that goes away is its own affair.
        tokio::spawn(async move { connection.await.ok() });
    }
}
