//! `twinlet sign`: vouches for a function, or for all functions of a document. It needs no agent and no broker.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use ring::digest;
use serde_json::{Map, Value, json};

use super::deploy::component_of;
use super::output::{Output, json_flag};
use super::signing::Signer;
use crate::desired::{FunctionId, Sha256};

const EXAMPLES: &str = "\
Examples:
  twinlet sign --key release.pem --document desired.json | twinlet twin set - --node gw-7
  twinlet sign --key release.pem --function fn_a --version 3 fn_a.wasm
  twinlet sign --key release.pem --function fn_a --version 3 --json \"$sha256\"

With --document every function gets its `signature`, one that it has is replaced, and the document is printed: a twin
document, a patch that gives `version` and `sha256` of its functions, or a deployment message. Else the signature is
printed alone. It holds for this function_id, version and sha256 and for nothing else: look at what you sign.";

pub(super) fn command() -> Command {
    let option = |name: &'static str, value: &'static str| Arg::new(name).long(name).value_name(value);
    let file = |name, value| option(name, value).value_parser(ValueParser::path_buf());
    Command::new("sign")
        .about("Sign functions, so that devices that require it take them")
        .arg(file("key", "FILE").required(true).help("The private key, as `twinlet keygen` makes it"))
        .arg(
            option("document", "FILE")
                .conflicts_with_all(["function", "version", "what"])
                .help("Sign every function of this JSON document; - is standard input"),
        )
        .arg(
            option("function", "ID")
                .value_parser(id)
                .required_unless_present("document")
                .help("The function's id"),
        )
        .arg(
            option("version", "N")
                .value_parser(value_parser!(u64))
                .required_unless_present("document")
                .help("The function's version, as the document will have it"),
        )
        .arg(
            Arg::new("what")
                .value_name("FILE.wasm|SHA256")
                .required_unless_present("document")
                .help("The component, or the SHA-256 of it as 64 hexadecimal digits"),
        )
        .arg(json_flag())
        .after_help(EXAMPLES)
}

fn id(text: &str) -> Result<FunctionId, String> {
    text.parse().map_err(|error: crate::desired::IdError| error.to_string())
}

pub(super) fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let key = matches.get_one::<PathBuf>("key").cloned().unwrap_or_default();
    let signer = Signer::read(&key)?;
    let output = Output::of(matches);
    if let Some(source) = matches.get_one::<String>("document") {
        let mut document = read(source)?;
        sign_document(&signer, &mut document).with_context(|| source.clone())?;
        output.json(&document)?;
        return Ok(ExitCode::SUCCESS);
    }
    let id = matches.get_one::<FunctionId>("function").context("--function is missing")?;
    let version = matches.get_one::<u64>("version").copied().unwrap_or_default();
    let sha256 = digest_of(matches.get_one::<String>("what").map_or("", String::as_str))?;
    let signature = signer.sign(id, version, &sha256)?.to_string();
    if output.json {
        output
            .json(&json!({ "function_id": id.as_str(), "version": version, "sha256": sha256.to_string(),
                             "signature": signature, "public_key": signer.public_key()?.to_string() }))?;
    } else {
        output.text(&signature)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A digest as it is given, or that of the file which is named.
fn digest_of(what: &str) -> anyhow::Result<Sha256> {
    if let Ok(sha256) = what.parse() {
        return Ok(sha256);
    }
    let component = component_of(Path::new(what)).context("neither a SHA-256 nor a file that can be read")?;
    let digest = digest::digest(&digest::SHA256, &component);
    Ok(Sha256::from_bytes(digest.as_ref().try_into().context("a digest of another length")?))
}

fn read(source: &str) -> anyhow::Result<Value> {
    let text = if source == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        text
    } else {
        std::fs::read_to_string(source).with_context(|| source.to_owned())?
    };
    serde_json::from_str(&text).with_context(|| format!("{source} is not JSON"))
}

/// Gives every function of a twin document its signature, or the one of a deployment message.
fn sign_document(signer: &Signer, document: &mut Value) -> anyhow::Result<()> {
    let Value::Object(root) = document else { bail!("it is JSON, but not an object") };
    if let Some(named) = root.get("function_id") {
        let id = named.as_str().context("function_id: a string is wanted")?.to_owned();
        return sign_function(signer, &id, root).context("function_id");
    }
    let functions = root.get_mut("functions").and_then(Value::as_object_mut);
    let functions =
        functions.context("it has neither `functions` nor a `function_id`, so there is nothing to sign")?;
    // In a patch, null takes a function away.
    for (id, function) in functions.iter_mut().filter(|(_, function)| !function.is_null()) {
        let fields =
            function.as_object_mut().with_context(|| format!("functions.{id}: an object is wanted"))?;
        sign_function(signer, id, fields).with_context(|| format!("functions.{id}"))?;
    }
    Ok(())
}

fn sign_function(signer: &Signer, id: &str, fields: &mut Map<String, Value>) -> anyhow::Result<()> {
    let id = id.parse()?;
    let version = fields.get("version").context("it has no version, which is signed")?;
    let version = version.as_u64().context("version: a whole number is wanted")?;
    let sha256 = fields.get("sha256").context("it has no sha256, which is signed")?;
    let sha256: Sha256 = sha256.as_str().context("sha256: a string is wanted")?.parse().context("sha256")?;
    let signature = signer.sign(&id, version, &sha256)?;
    fields.insert("signature".to_owned(), signature.to_string().into());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Defaults, Desired, Trust};

    fn signer() -> Signer {
        Signer::create(&tempfile::tempdir().unwrap().path().join("key.pem")).unwrap()
    }

    #[test]
    fn a_signed_document_is_one_that_a_device_takes() {
        let signer = signer();
        let trust = Trust { keys: [signer.public_key().unwrap()].into(), required: true };
        let defaults = Defaults { trust, ..Defaults::default() };
        let function =
            |version: u64| json!({ "version": version, "artifact_url": "f.wasm", "sha256": "AB".repeat(32) });
        let mut document = json!({ "$version": 1, "functions": { "a": function(1), "b": function(2) } });
        let refused = Desired::parse(&document, &defaults).unwrap_err().to_string();
        assert!(refused.contains("functions.a.signature: is missing"), "{refused}");
        assert!(refused.contains("functions.b.signature: is missing"), "{refused}");
        sign_document(&signer, &mut document).unwrap();
        assert!(Desired::parse(&document, &defaults).is_ok());
        document["functions"]["b"]["version"] = 3.into();
        let refused = Desired::parse(&document, &defaults).unwrap_err().to_string();
        assert!(refused.starts_with("functions.b.signature: is not valid"), "{refused}");
        sign_document(&signer, &mut document).unwrap();
        assert!(Desired::parse(&document, &defaults).is_ok(), "the signature of before is replaced");
    }

    #[test]
    fn what_can_not_be_signed_is_named() {
        let signer = signer();
        for (document, wanted) in [
            (json!([]), "not an object"),
            (json!({ "$version": 1 }), "nothing to sign"),
            (json!({ "functions": { "A": {} } }), "functions.A: `A` is not an id"),
            (json!({ "functions": { "a": {} } }), "functions.a: it has no version"),
            (json!({ "functions": { "a": { "version": 1 } } }), "functions.a: it has no sha256"),
            (json!({ "function_id": "a", "version": 1, "sha256": "12" }), "sha256: `12` is not a sha256"),
        ] {
            let told = format!("{:#}", sign_document(&signer, &mut document.clone()).unwrap_err());
            assert!(told.contains(wanted), "{wanted} is not in {told}");
        }
        let mut patch = json!({ "functions": { "gone": null } });
        assert!(sign_document(&signer, &mut patch).is_ok() && patch["functions"]["gone"].is_null());
    }
}
