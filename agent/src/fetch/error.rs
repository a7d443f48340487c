//! Why an artifact could not be had, in one line that says what to do.

use std::io;

use crate::desired::Sha256;

/// Why an artifact could not be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server, or the way to it.
    #[error("{url}: {source}")]
    Network {
        /// The URL, without what may be secret in it.
        url: String,
        /// What ureq says.
        source: ureq::Error,
    },
    /// The server answered with another status than one that carries the artifact.
    #[error("{url}: the server answered {status}{reason}")]
    Status {
        /// The URL, without what may be secret in it.
        url: String,
        /// The status.
        status: u16,
        /// What more is to be said, from its punctuation on; may be empty.
        reason: String,
    },
    /// Reading from the peer or a local file failed on the way.
    #[error("{url}: after {received} bytes: {source}")]
    Read {
        /// The URL, without what may be secret in it.
        url: String,
        /// Bytes that are there.
        received: u64,
        /// What the system says.
        source: io::Error,
    },
    /// It came so slowly that the way may be broken, or the server may be no friend.
    #[error(
        "{url}: after {received} bytes: fewer than {bytes} bytes came in {secs} s (fetch_min_rate_bytes, \
         fetch_min_rate_secs)"
    )]
    Slow {
        /// The URL, without what may be secret in it.
        url: String,
        /// Bytes that are there.
        received: u64,
        /// The least that had to come.
        bytes: u64,
        /// In so many seconds.
        secs: u64,
    },
    /// The server sent it compressed, although it was asked not to.
    #[error("{url}: comes with `Content-Encoding: {coding}`: have the server send the file as it is")]
    Encoded {
        /// The URL, without what may be secret in it.
        url: String,
        /// The encoding.
        coding: String,
    },
    /// What the server says is not what its protocol asks for, or not what is wanted.
    #[error("{url}: {why}")]
    Refused {
        /// The URL, without what may be secret in it.
        url: String,
        /// Why, and what to do.
        why: String,
    },
    /// The disk did not take it.
    #[error("writing the download: {0}")]
    Disk(#[source] io::Error),
    /// There is no room for it on the disk, or none that it may take.
    #[error("{0}")]
    NoRoom(String),
    /// It ended early, or is not as large as desired state says.
    #[error("{received} bytes came, where `size` says {expected}")]
    Size {
        /// What desired state says.
        expected: u64,
        /// What came, or what the server says will come.
        received: u64,
    },
    /// It is larger than this device takes.
    #[error("larger than {limit} bytes, the limit of artifact_max_bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// It is not what desired state names.
    #[error("the sha256 of what came is {found}, where desired state says {wanted}")]
    Digest {
        /// What desired state says.
        wanted: Sha256,
        /// What came.
        found: Sha256,
    },
    /// It was put on the device by the management API, and can be had nowhere else.
    #[error("it is no longer on this device, to which it was uploaded: upload it again")]
    Uploaded,
    /// A file of certificates is not one.
    #[error("{0}")]
    Roots(String),
    /// Nobody needs it any more.
    #[error("given up for a newer desired state")]
    Superseded,
}

impl FetchError {
    /// Whether trying again can help: an artifact that is missing may appear, one that is wrong may be put right where it
    /// is. What only another desired state or another configuration can help is not tried again.
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. } | Self::Uploaded)
    }

    /// Whether bytes came, but the wrong ones.
    pub fn is_wrong_artifact(&self) -> bool {
        matches!(self, Self::Digest { .. } | Self::Size { .. })
    }
}
