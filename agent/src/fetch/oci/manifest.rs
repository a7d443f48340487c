//! An OCI image manifest as the CNCF's layout for Wasm has it: a config that says so, and one layer, the component.

use serde::Deserialize;

/// The media type of the one kind of manifest that is read.
pub(super) const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.wasm.config.v0+json";
const LAYER: &str = "application/wasm";

/// The layer that is the component.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layer {
    /// As in the manifest: `sha256:` and hex digits.
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    media_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// The layer that a manifest names, or what is wrong with it as a clause.
pub(super) fn layer(text: &[u8]) -> Result<Layer, String> {
    let manifest: Manifest =
        serde_json::from_slice(text).map_err(|error| format!("its manifest is not one: {error}"))?;
    if let Some(other) = manifest.media_type.filter(|kind| kind != MEDIA_TYPE) {
        return Err(format!("its manifest is `{}`, where one of `{MEDIA_TYPE}` is wanted", short(&other)));
    }
    match manifest.config.as_ref().map(|config| config.media_type.as_str()) {
        Some(CONFIG) => {}
        Some(other) => {
            return Err(format!("its config is `{}`, where one of `{CONFIG}` is wanted", short(other)));
        }
        None => return Err("its manifest has no config; one image is wanted, no index of several".into()),
    }
    let count = manifest.layers.len();
    let mut layers = manifest.layers.into_iter();
    match (layers.next(), count) {
        (Some(layer), 1) if layer.media_type == LAYER => Ok(Layer { digest: layer.digest, size: layer.size }),
        (Some(layer), 1) => {
            let other = short(&layer.media_type).to_owned();
            Err(format!("its layer is `{other}`, where one of `{LAYER}` is wanted"))
        }
        _ => Err(format!("its manifest has {count} layers, where one of `{LAYER}` is wanted")),
    }
}

/// The beginning of a text of another's, for an error.
fn short(text: &str) -> &str {
    text.get(..80).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn manifest(change: impl FnOnce(&mut Value)) -> Result<Layer, String> {
        let mut it = json!({
            "schemaVersion": 2, "mediaType": MEDIA_TYPE,
            "config": { "mediaType": CONFIG, "digest": "sha256:00", "size": 2 },
            "layers": [{ "mediaType": LAYER, "digest": "sha256:ab", "size": 7, "annotations": {} }],
        });
        change(&mut it);
        layer(it.to_string().as_bytes())
    }

    #[test]
    fn one_layer_of_wasm_is_the_component() {
        let layer = Layer { digest: "sha256:ab".into(), size: 7 };
        assert_eq!(manifest(|_| {}).as_ref(), Ok(&layer));
        assert_eq!(manifest(|it| it["mediaType"] = Value::Null).as_ref(), Ok(&layer));
    }

    #[test]
    fn everything_else_is_refused_by_name() {
        let says = |change: fn(&mut Value), what: &str| {
            let why = manifest(change).unwrap_err();
            assert!(why.contains(what), "{why}");
        };
        says(|it| it["mediaType"] = json!("application/vnd.oci.image.index.v1+json"), "image.index");
        says(
            |it| it["config"]["mediaType"] = json!("application/vnd.oci.image.config.v1+json"),
            "image.config",
        );
        says(|it| it["config"] = Value::Null, "no config");
        says(|it| it["layers"] = json!([]), "0 layers");
        says(|it| it["layers"] = json!([it["layers"][0], it["layers"][0]]), "2 layers");
        says(|it| it["layers"][0]["mediaType"] = json!("text/plain"), "text/plain");
        says(|it| it["layers"][0]["size"] = json!(-1), "not one");
        assert!(layer(b"<html>").unwrap_err().contains("not one"));
    }
}
