//! Where a request's head ends, and whether its framing can be read in one way only. Looks at the raw bytes before
//! hyper does, which takes a bare LF for the end of a line, folds equal lengths into one, prefers one length header to
//! the other and leaves hosts alone: all that may be another request to whoever stands before or behind. What is
//! refused here is 400, and the connection ends. Knows no sockets.

/// What a connection's bytes turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The end of a head. `lasting` says whether the connection may serve another request behind this one; it may not
    /// after what only few clients send and some read in another way: `Transfer-Encoding`, and targets that are no
    /// paths.
    Head {
        /// What `Content-Length` says, else 0.
        length: u64,
        /// Whether another request may follow.
        lasting: bool,
    },
    /// So many bytes that are no head.
    Body(usize),
}

/// The bytes of one connection, request after request.
pub(crate) struct Framing {
    next: Next,
    most: usize,
}

enum Next {
    Head(Head),
    Body(u64),
    /// Behind the last request.
    Rest,
    /// Behind what was refused.
    Nothing,
}

impl Framing {
    /// A connection's from its first byte. A head of more than `most` bytes is let pass, and is the last: whoever
    /// parses it refuses it.
    pub(crate) fn new(most: usize) -> Self {
        Self { next: Next::Head(Head::default()), most }
    }

    /// Looks at what comes next. An error says where what is refused begins, as far as it is among these bytes;
    /// nothing from there on is a request.
    pub(crate) fn read(&mut self, bytes: &[u8], seen: &mut dyn FnMut(Seen)) -> Result<(), usize> {
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            match &mut self.next {
                Next::Head(head) => match head.read(rest, self.most) {
                    Progress::More => return Ok(()),
                    Progress::Whole { ends, length, lasting } => {
                        at += ends;
                        self.next = match length {
                            _ if !lasting => Next::Rest,
                            0 => Next::Head(Head::default()),
                            length => Next::Body(length),
                        };
                        seen(Seen::Head { length, lasting });
                    }
                    Progress::Refused => {
                        self.next = Next::Nothing;
                        return Err(at);
                    }
                },
                Next::Body(left) => {
                    let now = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                    *left -= now as u64;
                    at += now;
                    if *left == 0 {
                        self.next = Next::Head(Head::default());
                    }
                    seen(Seen::Body(now));
                }
                Next::Rest => {
                    seen(Seen::Body(rest.len()));
                    return Ok(());
                }
                Next::Nothing => return Err(at),
            }
        }
        Ok(())
    }
}

/// How much more of a head is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    More,
    /// It ends with the first so many bytes of what was given.
    Whole {
        ends: usize,
        length: u64,
        lasting: bool,
    },
    /// It is no head that has one meaning.
    Refused,
}

/// One head, piece by piece.
#[derive(Debug, Default)]
struct Head {
    /// What came before the last piece; nothing where the first holds all, or where it is too long.
    earlier: Vec<u8>,
    /// Bytes before the last piece.
    length: usize,
    /// Whether the present line has anything before its end.
    of_line: bool,
    after_cr: bool,
    begun: bool,
}

impl Head {
    /// Looks at the next piece of a head that may have `most` bytes.
    fn read(&mut self, piece: &[u8], most: usize) -> Progress {
        for (at, byte) in piece.iter().enumerate() {
            match byte {
                b'\n' if self.after_cr => {
                    let empty = !self.of_line;
                    (self.of_line, self.after_cr) = (false, false);
                    if empty && self.begun {
                        return self.whole(piece, at + 1, most);
                    }
                    // Empty lines before a request are passed over.
                    continue;
                }
                _ if self.after_cr => return Progress::Refused,
                b'\r' => self.after_cr = true,
                // Obsolete folding, which begins a line with a blank, or the first line does.
                b' ' | b'\t' if !self.of_line => return Progress::Refused,
                b'\t' | 0x20..=0x7e | 0x80.. => {
                    self.of_line = true;
                    self.begun = true;
                }
                _ => return Progress::Refused,
            }
        }
        self.length += piece.len();
        if self.length > most {
            self.earlier = Vec::new();
        } else {
            self.earlier.extend_from_slice(piece);
        }
        Progress::More
    }

    fn whole(&mut self, piece: &[u8], ends: usize, most: usize) -> Progress {
        if self.length + ends > most {
            // Hyper has as much of it, and answers 431.
            return Progress::Whole { ends, length: 0, lasting: false };
        }
        let last = piece.get(..ends).unwrap_or(piece);
        let verdict = if self.earlier.is_empty() {
            judge(last)
        } else {
            self.earlier.extend_from_slice(last);
            judge(&self.earlier)
        };
        verdict.map_or(Progress::Refused, |(length, lasting)| Progress::Whole { ends, length, lasting })
    }
}

/// The length of what follows this head, and whether another request may follow that; none where it is refused.
fn judge(head: &[u8]) -> Option<(u64, bool)> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let request = lines.by_ref().find(|line| !line.is_empty())?;
    let mut words = request.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    let newer = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        _ => return None,
    };
    // Whoever stands before takes any success of CONNECT for the begin of a tunnel.
    if words.next().is_some() || target.contains(&b'#') || method == b"CONNECT" {
        return None;
    }
    let path = target.starts_with(b"/");
    if !path && !is_odd_target(method, target) {
        return None;
    }
    let (mut lengths, mut codings, mut hosts) = (0_u32, 0_u32, 0_u32);
    let mut length = 0;
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let value = value.get(1..)?.trim_ascii();
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            lengths += 1;
            length = digits(value)?;
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            codings += 1;
            if !value.eq_ignore_ascii_case(b"chunked") {
                return None;
            }
        } else if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
            if !value.iter().all(|byte| is_of_host(*byte)) {
                return None;
            }
        }
    }
    let framed_once = lengths + codings <= 1 && (newer || codings == 0);
    let hosted_once = hosts == 1 || (hosts == 0 && !newer);
    (framed_once && hosted_once).then_some((length, path && codings == 0))
}

/// Whether a target that is no path is one that means something here: a whole URL, or `*` for `OPTIONS`.
fn is_odd_target(method: &[u8], target: &[u8]) -> bool {
    let begins = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
    match target {
        b"*" => method == b"OPTIONS",
        // Whatever stands before an `@` would be read as the host by some.
        _ => (begins(b"http://") || begins(b"https://")) && !target.contains(&b'@'),
    }
}

/// A number as `Content-Length` may have it, without a sign.
fn digits(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?;
    text.parse().ok()
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}

/// What is let pass is the same however it is cut into pieces, and ends where what is refused begins.
#[cfg(fuzzing)]
pub(crate) fn fuzz(data: &[u8]) {
    let (mut whole, mut heads) = (Framing::new(8192), 0);
    let outcome = whole.read(data, &mut |seen| heads += u32::from(matches!(seen, Seen::Head { .. })));
    let (mut pieces, mut of_pieces, mut passed) = (Framing::new(8192), 0, Ok(()));
    for (at, byte) in data.iter().enumerate() {
        let mut count = |seen| of_pieces += u32::from(matches!(seen, Seen::Head { .. }));
        passed = pieces.read(std::slice::from_ref(byte), &mut count).map_err(|_| at);
        if passed.is_err() {
            break;
        }
    }
    assert_eq!(heads, of_pieces);
    assert_eq!(outcome.is_ok(), passed.is_ok());
    if let (Err(of_whole), Err(at)) = (outcome, passed) {
        assert!(of_whole <= at, "{of_whole} > {at}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 1024;

    /// What is seen of a connection's bytes: the same whether they come at once or one by one.
    fn read(text: &str) -> Result<Vec<Seen>, usize> {
        let (mut whole, mut framing) = (Vec::new(), Framing::new(MOST));
        let outcome = framing.read(text.as_bytes(), &mut |seen| whole.push(seen));
        let (mut one_by_one, mut framing) = (Vec::new(), Framing::new(MOST));
        let each = text.bytes().all(|byte| framing.read(&[byte], &mut |seen| one_by_one.push(seen)).is_ok());
        assert_eq!(outcome.is_ok(), each, "{text:?}");
        let heads = |seen: &[Seen]| -> Vec<Seen> {
            seen.iter().copied().filter(|seen| matches!(seen, Seen::Head { .. })).collect()
        };
        let body = |seen: &[Seen]| -> usize {
            seen.iter().map(|seen| if let Seen::Body(bytes) = seen { *bytes } else { 0 }).sum()
        };
        assert_eq!((heads(&whole), body(&whole)), (heads(&one_by_one), body(&one_by_one)), "{text:?}");
        outcome.map(|()| whole)
    }

    #[test]
    fn requests_follow_each_other() {
        let first = "\r\n\r\nPOST /a?b HTTP/1.1\r\nhost:a:80\r\nx:\r\ncontent-length: 3\r\n\r\nabc";
        let second = "GET /\u{fc} HTTP/1.1\r\nHost: [::1]:80\r\nX-Text: a\tb \u{fc}\r\n\r\n";
        let third = "GET / HTTP/1.0\r\n\r\n";
        let head = |length| Seen::Head { length, lasting: true };
        let wanted = vec![head(3), Seen::Body(3), head(0), head(0)];
        assert_eq!(read(&format!("{first}{second}{third}")), Ok(wanted));
        assert_eq!(read(&format!("{first}{second}\n{third}")), Err(first.len() + second.len()));
        assert_eq!(read(&format!("{first}\0{second}")), Err(first.len()));
    }

    #[test]
    fn what_some_read_in_another_way_is_the_last_on_its_connection() {
        for head in [
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let wanted = vec![Seen::Head { length: 0, lasting: false }, Seen::Body(4)];
            assert_eq!(read(&format!("{head}\0\n\n\n")), Ok(wanted), "{head:?}");
        }
    }

    #[test]
    fn a_head_with_two_meanings_is_refused() {
        let lines = |lines: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n");
        let wrong = [
            lines("Content-Length: 1\r\nTransfer-Encoding: chunked"),
            lines("Content-Length: 1\r\nContent-Length: 1"),
            lines("Content-Length: +1"),
            lines("Content-Length: 99999999999999999999"),
            lines("Content-Length:"),
            lines("Content-Length : 1"),
            lines("Transfer-Encoding: chunked, identity"),
            lines("Transfer-Encoding: chunked\r\ntransfer-encoding: chunked"),
            lines("X: a\r\n b"),
            lines("X: a\nY: b"),
            lines("X: a\rY: b"),
            lines("X: \u{1}"),
            lines("no colon"),
            lines(": no name"),
            lines("Host: b"),
            "GET / HTTP/1.1\r\n\r\n".to_owned(),
            "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
            "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "GET http://a:b@c/ HTTP/1.1\r\nHost: c\r\n\r\n".to_owned(),
            "GET /\r\n\r\n".to_owned(),
            "PRI * HTTP/2.0\r\n\r\n".to_owned(),
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        ];
        for head in wrong {
            assert_eq!(read(&head), Err(0), "{head:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_kept_and_is_the_last() {
        let mut head = Head::default();
        assert_eq!(head.read(&[b'a'; MOST + 1], MOST), Progress::More);
        assert!(head.earlier.is_empty());
        assert_eq!(head.read(b"\r\n\r\n", MOST), Progress::Whole { ends: 4, length: 0, lasting: false });
    }
}
