//! Artifacts of an object store: `s3://bucket/key` as a URL that is signed for this one request (AWS Signature Version
//! 4, path style). Knows nothing of who sends it.

use std::time::Duration;

use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};

use super::FetchError;
use super::http::refused;
use crate::config::Minio;
use crate::desired::S3Object;

/// How long a signed URL is good for: for its redirects, and for a store whose clock is not ours.
const GOOD_FOR: Duration = Duration::from_secs(15 * 60);

/// The URL to ask for, which is as secret as a password while it is good.
pub(super) fn signed(store: &Minio, url: &str) -> Result<String, FetchError> {
    let object = S3Object::parse(url).map_err(|why| refused(url, why))?;
    let endpoint = store.endpoint.parse().map_err(|e| refused(url, format!("minio_endpoint: {e}")))?;
    let bucket = Bucket::new(endpoint, UrlStyle::Path, object.bucket.to_owned(), store.region.clone())
        .map_err(|e| refused(url, format!("minio_endpoint: {e}")))?;
    let credentials = Credentials::new(store.access_key.clone(), store.secret_key.reveal());
    Ok(bucket.get_object(Some(&credentials), object.key).sign(GOOD_FOR).into())
}

/// Says of a refusal which settings it may be about, and names the object instead of the store's URL.
pub(super) fn explained(error: FetchError, url: &str) -> FetchError {
    match error {
        FetchError::Status { status: status @ (400 | 401 | 403), reason, .. } => {
            let advice = ": check minio_access_key, minio_secret_key, minio_region and this device's clock";
            FetchError::Status { url: url.to_owned(), status, reason: reason + advice }
        }
        FetchError::Status { status, reason, .. } => {
            FetchError::Status { url: url.to_owned(), status, reason }
        }
        other => other,
    }
}
