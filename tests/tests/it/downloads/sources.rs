//! Where artifacts come from beside a plain server: an object store that checks signatures, registries that want to know
//! who asks, redirects, TLS of a private authority.

use serde_json::json;
use twinlet_tests::object_store::KEYS;
use twinlet_tests::registry::LOGIN;
use twinlet_tests::tunnel::tls_in_front_of;
use twinlet_tests::{Artifact, ArtifactServer, Certs, Fault, ObjectStore, Registry, needs_registry};

use super::{Device, bytes};

fn with_store(store: &ObjectStore, secret: &str) -> Device {
    let endpoint = store.endpoint();
    Device::with(&[("minio_endpoint", &endpoint), ("minio_access_key", KEYS.0), ("minio_secret_key", secret)])
}

fn with_login(registry: &str, password: &str) -> Device {
    Device::with(&[("oci_registry", registry), ("oci_username", LOGIN.0), ("oci_password", password)])
}

#[test]
fn an_object_store_that_checks_signatures_gives_its_objects() {
    let (store, bytes) = (ObjectStore::start(), bytes());
    let object = store.put("artifacts", "some folder/f v1+ü.wasm", &bytes);
    with_store(&store, KEYS.1).gets(&object, &bytes);
}

#[test]
fn an_object_store_refuses_a_wrong_secret_and_the_error_says_which_settings() {
    let store = ObjectStore::start();
    let object = store.put("artifacts", "f.wasm", &bytes());
    let error = with_store(&store, "wrong").fails(&object, "s3://artifacts/f.wasm: the server answered 403");
    assert!(error.contains("SignatureDoesNotMatch") && error.contains("minio_secret_key"), "{error}");
    assert!(!error.contains("X-Amz") && !error.contains("wrong"), "{error}");
    let missing = Artifact { url: "s3://artifacts/gone.wasm".into(), ..object };
    with_store(&store, KEYS.1).fails(&missing, "404 (NoSuchKey)");
}

#[test]
fn a_beginning_goes_on_from_an_object_store() {
    let (store, bytes) = (ObjectStore::start(), bytes());
    let object = store.put("artifacts", "f.wasm", &bytes);
    let device = with_store(&store, KEYS.1);
    std::fs::write(device.partial(&object), &bytes[..70_000]).unwrap();
    device.gets(&object, &bytes);
}

#[test]
fn a_registry_gives_by_tag_and_by_digest_and_goes_on() {
    if !needs_registry() {
        return;
    }
    let (registry, bytes) = (Registry::open(), bytes());
    let tagged = registry.push("team/fn", "v1", &bytes);
    Device::new().gets(&tagged, &bytes);
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": registry.push_blob("team/fn", b"{}"), "size": 2 },
        "layers": [{ "mediaType": "application/wasm", "digest": registry.push_blob("team/fn", &bytes), "size": bytes.len() }],
    });
    let digest = registry.push_manifest("team/fn", "v2", &manifest);
    let by_digest = Artifact { url: format!("oci://{}/team/fn@{digest}", registry.host()), ..tagged.clone() };
    let device = Device::new();
    std::fs::write(device.partial(&by_digest), &bytes[..70_000]).unwrap();
    device.gets(&by_digest, &bytes);
    let missing = Artifact { url: format!("oci://{}/team/fn:v9", registry.host()), ..tagged.clone() };
    Device::new().fails(&missing, "404 (MANIFEST_UNKNOWN)");
    let other = Artifact { sha256: "ab".repeat(32), ..tagged };
    Device::new().fails(&other, &format!("where desired state says sha256:{}", "ab".repeat(32)));
}

#[test]
fn what_a_registry_has_that_is_no_component_is_refused_by_name() {
    if !needs_registry() {
        return;
    }
    let registry = Registry::open();
    let artifact = registry.push("fn", "v1", &bytes());
    let (config, layer) = (registry.push_blob("fn", b"{}"), registry.push_blob("fn", &bytes()));
    for (tag, config_type, layer_type, says) in [
        ("image", "application/vnd.oci.image.config.v1+json", "application/wasm", "its config is"),
        ("layer", "application/vnd.wasm.config.v0+json", "application/octet-stream", "its layer is"),
    ] {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": config_type, "digest": config, "size": 2 },
            "layers": [{ "mediaType": layer_type, "digest": layer, "size": bytes().len() }],
        });
        registry.push_manifest("fn", tag, &manifest);
        let wrong = Artifact { url: format!("oci://{}/fn:{tag}", registry.host()), ..artifact.clone() };
        Device::new().fails(&wrong, says);
    }
}

#[test]
fn a_registry_behind_a_password_lets_in_who_has_it() {
    if !needs_registry() {
        return;
    }
    let (registry, bytes) = (Registry::with_password(), bytes());
    let artifact = registry.push("fn", "v1", &bytes);
    with_login(&registry.host(), LOGIN.1).gets(&artifact, &bytes);
    Device::new().fails(&artifact, "set oci_registry, oci_username and oci_password");
    let error = with_login(&registry.host(), "wrong-pw").fails(&artifact, "401");
    assert!(error.contains("check oci_registry") && !error.contains("wrong-pw"), "{error}");
}

#[test]
fn a_registry_behind_tokens_gets_one_that_it_believes() {
    if !needs_registry() {
        return;
    }
    let (registry, bytes) = (Registry::with_tokens(), bytes());
    let artifact = registry.push("team/fn", "v1", &bytes);
    with_login(&registry.host(), LOGIN.1).gets(&artifact, &bytes);
    assert_eq!(registry.tokens_given(), 1);
    let error = with_login(&registry.host(), "wrong-pw").fails(&artifact, "401 (UNAUTHORIZED)");
    assert!(error.contains("check oci_registry") && !error.contains("wrong-pw"), "{error}");
    Device::new().fails(&artifact, "401 (UNAUTHORIZED)");
}

/// What serves one artifact as a registry would that wants a password and redirects its blobs.
fn stand_in(blobs: &ArtifactServer, bytes: &[u8]) -> (ArtifactServer, Artifact) {
    let registry = ArtifactServer::start();
    let blob = blobs.serve("stored", bytes);
    let manifest = json!({
        "schemaVersion": 2, "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": "sha256:00", "size": 2 },
        "layers": [{ "mediaType": "application/wasm", "digest": format!("sha256:{}", blob.sha256), "size": blob.size }],
    });
    registry.serve_with("v2/fn/manifests/latest", manifest.to_string(), Fault::Asks("Basic realm=\"x\""));
    let name = format!("v2/fn/blobs/sha256:{}", blob.sha256);
    registry.serve_with(&name, "", Fault::Redirect(blob.url.clone().leak()));
    let url = format!("oci://{}/fn", registry.address());
    (registry, Artifact { url, ..blob })
}

#[test]
fn a_redirect_to_another_host_carries_no_password() {
    let (blobs, bytes) = (ArtifactServer::start(), bytes());
    let (registry, artifact) = stand_in(&blobs, &bytes);
    with_login(&registry.address().to_string(), "secret").gets(&artifact, &bytes);
    let blob = format!("v2/fn/blobs/sha256:{}", artifact.sha256);
    assert!(registry.asked(&blob)[0].header("authorization").starts_with("Basic "));
    assert_eq!((blobs.requests("stored"), blobs.asked("stored")[0].header("authorization")), (1, ""));
}

#[test]
fn a_password_is_shown_to_its_own_registry_alone() {
    let (blobs, bytes) = (ArtifactServer::start(), bytes());
    let (registry, artifact) = stand_in(&blobs, &bytes);
    with_login("registry.example", "secret").fails(&artifact, "asks for a user and a password");
    let asked = registry.asked("v2/fn/manifests/latest");
    assert!(asked.iter().all(|asked| asked.header("authorization").is_empty()), "{asked:?}");
}

#[test]
fn redirects_are_followed_and_not_for_ever() {
    let (server, bytes) = (ArtifactServer::start(), bytes());
    let file = server.serve("f", bytes.clone());
    let moved = server.serve_with("moved", "", Fault::Redirect("/f"));
    Device::new().gets(&Artifact { url: moved.url, ..file.clone() }, &bytes);
    let circle = server.serve_with("circle", "", Fault::Redirect("circle"));
    Device::new().fails(&Artifact { url: circle.url, ..file.clone() }, "redirects again and again");
    assert_eq!(server.requests("circle"), 6);
    let inward = server.serve_with("inward", "", Fault::Redirect("file:///etc/passwd"));
    Device::new().fails(&Artifact { url: inward.url, ..file }, "neither http:// nor https://");
}

#[test]
fn tls_of_a_private_authority_is_trusted_where_it_is_named() {
    let (server, certs, bytes) = (ArtifactServer::start(), Certs::generate(), bytes());
    let mut file = server.serve("f", bytes.clone());
    file.url = format!("https://localhost:{}/f", tls_in_front_of(server.address(), &certs.server));
    Device::with(&[("artifact_ca_file", certs.ca.to_str().unwrap())]).gets(&file, &bytes);
    Device::with(&[("artifact_ca_file", certs.other_ca.to_str().unwrap())]).fails(&file, "certificate");
    file.url = format!("https://localhost:{}/f", tls_in_front_of(server.address(), &certs.expired));
    Device::with(&[("artifact_ca_file", certs.ca.to_str().unwrap())]).fails(&file, "certificate");
}
