//! What a bundle says about an appliance's boundary, in words and as data.

use casemate_protocol::bundle::appraisal::BoundaryVerdict;
use casemate_protocol::code::Explain;
use serde_json::{Value, json};

/// `clinics 3: 2 entries`, or what is wrong.
pub(crate) fn in_words(verdict: &BoundaryVerdict) -> String {
    let signed = match &verdict.outcome {
        Ok(signed) => signed,
        Err(refusal) => return format!("refused: {refusal}"),
    };
    let Some(name) = signed.name() else { return "none: nothing may leave".into() };
    let version = verdict.version.map_or_else(String::new, |version| format!(" {version}"));
    match signed.policy.entries().len() {
        1 => format!("{name}{version}: 1 entry"),
        number => format!("{name}{version}: {number} entries"),
    }
}

/// The policy of the appliance with every entry, null where nothing is allowed, or the code of the refusal.
pub(crate) fn value(verdict: &BoundaryVerdict) -> Value {
    let signed = match &verdict.outcome {
        Ok(signed) => signed,
        Err(refusal) => return json!({ "version": verdict.version, "code": refusal.code() }),
    };
    signed.papers.as_ref().map_or(Value::Null, |papers| {
        json!({
            "name": papers.name, "version": verdict.version, "document": papers.digest, "envelope": papers.envelope,
            "policy": signed.policy.digest(), "entries": signed.policy.entries(),
        })
    })
}
