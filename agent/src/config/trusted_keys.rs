//! The file that `trusted_keys_file` names: the public keys of those who may sign functions. It knows nothing of what
//! is signed.

use crate::desired::{Problems, PublicKey};

/// Keys of one file: each may have to be tried for each function.
const MAX_KEYS: usize = 16;
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// Reads the file's text, or says everything that is wrong with it. A key is a line of base64, or a block of PEM; what
/// follows a `#` is a comment.
pub fn trusted_keys(text: &str) -> Result<Vec<PublicKey>, Problems> {
    let mut problems = Problems::default();
    let mut keys: Vec<PublicKey> = Vec::new();
    // The line on which a block of PEM began, and its base64 so far.
    let mut block: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (at, base64) = match (line, block.take()) {
            ("", unfinished) => {
                block = unfinished;
                continue;
            }
            (END, Some(whole)) => whole,
            (BEGIN, None) => {
                block = Some((number, String::new()));
                continue;
            }
            (BEGIN, Some((began, _))) => {
                problems.add(&format!("line {began}"), format_args!("this block has no end, `{END}`"));
                block = Some((number, String::new()));
                continue;
            }
            (line, Some((began, before))) => {
                block = Some((began, before + line));
                continue;
            }
            (line, None) => (number, line.to_owned()),
        };
        match base64.parse() {
            Ok(key) if keys.contains(&key) => problems.add(&format!("line {at}"), "this key stands twice"),
            Ok(key) => keys.push(key),
            // Not its text: it may be a private key that was put here by mistake.
            Err(error) => problems.add(&format!("line {at}"), error),
        }
    }
    if let Some((began, _)) = block {
        problems.add(&format!("line {began}"), format_args!("this block has no end, `{END}`"));
    }
    match keys.len() {
        0 => problems.add("", "holds no key; `twinlet keygen` prints the line of one"),
        more if more > MAX_KEYS => problems.add("", format_args!("holds more than {MAX_KEYS} keys")),
        _ => {}
    }
    problems.or(Some(keys))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> PublicKey {
        PublicKey::from_bytes(&[n; 32]).unwrap()
    }

    fn pem(n: u8) -> String {
        format!("{BEGIN}\n{}\n{END}\n", key(n))
    }

    #[test]
    fn keys_stand_on_lines_or_in_blocks() {
        let text = format!("# ours\n\n{}  # Ann, 2026\n{}  {}\r\n", key(1), pem(2), key(3));
        assert_eq!(trusted_keys(&text), Ok(vec![key(1), key(2), key(3)]));
    }

    #[test]
    fn every_problem_is_told_with_its_line_and_without_its_text() {
        let text = format!("hunter2\n{BEGIN}\n{}{}\n{}\n{BEGIN}\n", pem(1), key(2), key(2));
        let told = trusted_keys(&text).unwrap_err().to_string();
        for wanted in [
            "line 1: is not an Ed25519 public key",
            "line 2: this block has no end",
            "line 7: this key stands twice",
            "line 8: this block has no end",
        ] {
            assert!(told.contains(wanted), "{wanted} is not in {told}");
        }
        assert!(!told.contains("hunter2"), "{told}");
        let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA\n-----END PRIVATE KEY-----";
        assert!(!trusted_keys(private).unwrap_err().to_string().contains("MC4"));
        for none in ["", "# no key", "\n"] {
            assert!(trusted_keys(none).unwrap_err().to_string().contains("holds no key"), "{none}");
        }
        let many: String = (0..=16).map(|n| format!("{}\n", key(n))).collect();
        assert!(trusted_keys(&many).unwrap_err().to_string().contains("more than 16"));
    }
}
