//! GET over plain HTTP to a literal address.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::str::FromStr;
use std::time::Duration;

use crate::Failure;

/// Longest header section read, bytes.
const MAX_HEAD: u64 = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

/// `http://<address>:<port>/<folder>/`.
pub(crate) struct Url {
    address: SocketAddr,
    folder: String,
}

/// The answer to a GET.
pub(crate) enum Answer {
    /// The content; one byte longer than the limit if it does not end there.
    Content(Vec<u8>),
    /// 404, and only that: everything else that is not content is an error.
    NotFound,
}

impl FromStr for Url {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let rest = text.strip_prefix("http://").ok_or("the URL is not http://")?;
        let (address, folder) = rest.split_once('/').unwrap_or((rest, ""));
        let folder = folder.trim_end_matches('/');
        Ok(Self { address: address.parse()?, folder: format!("/{folder}/") })
    }
}

impl Url {
    /// Fetches `path` below the folder, at most `limit` bytes and one more.
    pub(crate) fn get(&self, path: &str, limit: u64) -> Result<Answer, Failure> {
        #[expect(clippy::disallowed_methods, reason = "a test program that talks to a literal loopback address only")]
        let mut stream = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let target = format!("{}{path}", self.folder);
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
        let mut reader = BufReader::new(stream);
        let (status, length) = read_head(&mut reader)?;
        match status {
            200 => {}
            404 => return Ok(Answer::NotFound),
            _ => return Err(format!("GET {target}: status {status}").into()),
        }
        let mut content = Vec::new();
        reader.take(limit.saturating_add(1)).read_to_end(&mut content)?;
        let found = content.len() as u64;
        if length.is_some_and(|length| found < length.min(limit.saturating_add(1))) {
            return Err(format!("GET {target}: the connection ended after {found} bytes").into());
        }
        Ok(Answer::Content(content))
    }
}

/// Status and declared length.
fn read_head(reader: &mut impl BufRead) -> Result<(u16, Option<u64>), Failure> {
    let mut head = reader.take(MAX_HEAD);
    let mut line = String::new();
    head.read_line(&mut line)?;
    let status = line.split(' ').nth(1).ok_or("no HTTP status line")?.parse()?;
    let mut length = None;
    loop {
        line.clear();
        if head.read_line(&mut line)? == 0 {
            return Err("the connection ended within the header".into());
        }
        let Some((name, value)) = line.split_once(':') else { return Ok((status, length)) };
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse()?);
        }
    }
}
