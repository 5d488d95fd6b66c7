//! Requests: what an appliance may be asked through a broker.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::canonical;

/// Longest request, bytes.
pub const MAX_REQUEST: usize = 256;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// The health report of this moment.
    Health,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    ask: Ask,
}

/// Nothing an appliance answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("expected {{\"ask\":\"health\"}}")]
pub struct RequestError;

impl Ask {
    /// Reads a request.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &[u8]) -> Result<Self, RequestError> {
        if text.len() > MAX_REQUEST {
            return Err(RequestError);
        }
        let value = canonical::parse(text).map_err(|_| RequestError)?;
        serde_json::from_value::<Written>(value).map(|written| written.ask).map_err(|_| RequestError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_all_that_can_be_asked() {
        assert_eq!(Ask::parse(br#"{ "ask": "health" }"#), Ok(Ask::Health));
        for text in ["", "health", r#"{"ask":"receipts"}"#, r#"{"ask":"health","to":"x"}"#, r#"{"ask":"health"}x"#] {
            assert_eq!(Ask::parse(text.as_bytes()), Err(RequestError), "{text}");
        }
        assert_eq!(Ask::parse(&[br#"{"ask":"health"}"#.as_slice(), &[b' '; MAX_REQUEST]].concat()), Err(RequestError));
    }
}
