//! What stands behind the `?` of a path.

/// The first value of this name, decoded.
pub(crate) fn get(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(other, _)| *other == name).map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, behind @ ..]) if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                bytes.push(high << 4 | low);
                rest = behind;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_by_its_name_and_decoded() {
        let query = "to=3&url=http%3a%2F%2Fx%2f%3Fa%3Db&name=Ann+%C3%A9&odd=%4&flag";
        let of = |name| get(query, name);
        assert_eq!(of("to").as_deref(), Some("3"));
        assert_eq!(of("url").as_deref(), Some("http://x/?a=b"));
        assert_eq!(of("name").as_deref(), Some("Ann é"));
        assert_eq!(of("odd").as_deref(), Some("%4"));
        assert_eq!(of("flag").as_deref(), Some(""));
        assert_eq!(of("no"), None);
    }
}
