//! Documents held against `docs/openapi.json`: just as much of JSON Schema as it uses. A keyword that is not known here
//! is an error, so that nothing in it goes unheeded.

use serde_json::Value;

/// The committed document.
#[must_use]
pub fn document() -> Value {
    serde_json::from_str(casemate_agent::local_api::openapi::DOCUMENT).unwrap_or_default()
}

/// What is wrong with `value` as the body of `method path` (a template) answered with `status`.
#[must_use]
pub fn complaints(method: &str, template: &str, status: u16, value: &Value) -> Vec<String> {
    let document = document();
    let response = &document["paths"][template][method.to_lowercase()]["responses"][status.to_string()];
    let schema = &response["content"]["application/json"]["schema"];
    if schema.is_null() {
        return vec![format!("{method} {template} does not document {status} with a body")];
    }
    let mut found = Vec::new();
    check(&document, schema, value, template, &mut found);
    found
}

/// What is wrong with `value` as the schema `name`.
#[must_use]
pub fn complaints_as(name: &str, value: &Value) -> Vec<String> {
    let document = document();
    let mut found = Vec::new();
    check(&document, &document["components"]["schemas"][name], value, name, &mut found);
    found
}

fn check(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let Some(members) = schema.as_object() else {
        found.push(format!("{at}: no schema"));
        return;
    };
    for (keyword, wanted) in members {
        let fits = match keyword.as_str() {
            "description" | "format" => true,
            "$ref" => {
                let target = wanted.as_str().unwrap_or_default().trim_start_matches('#');
                check(document, document.pointer(target).unwrap_or(&Value::Null), value, at, found);
                true
            }
            "type" => kind(value) == wanted || (wanted == "integer" && (value.is_u64() || value.is_i64())),
            "enum" => wanted.as_array().is_some_and(|all| all.contains(value)),
            "minimum" => !value.is_number() || value.as_u64() >= wanted.as_u64(),
            "maximum" => !value.is_number() || value.as_u64() <= wanted.as_u64(),
            "pattern" => value.as_str().is_none_or(|text| matches(wanted.as_str().unwrap_or_default(), text)),
            "required" => {
                wanted.as_array().into_iter().flatten().all(|name| value.get(name.as_str().unwrap()).is_some())
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(document, wanted, item, &format!("{at}[{index}]"), found);
                }
                true
            }
            "properties" => {
                for (name, schema) in wanted.as_object().into_iter().flatten() {
                    if let Some(member) = value.get(name) {
                        check(document, schema, member, &format!("{at}.{name}"), found);
                    }
                }
                true
            }
            "propertyNames" => {
                for name in value.as_object().into_iter().flat_map(|members| members.keys()) {
                    check(document, wanted, &Value::String(name.clone()), at, found);
                }
                true
            }
            "additionalProperties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    match wanted {
                        _ if schema["properties"].get(name).is_some() => {}
                        Value::Bool(false) => found.push(format!("{at}: {name} is not described")),
                        more => check(document, more, member, &format!("{at}.{name}"), found),
                    }
                }
                true
            }
            other => {
                found.push(format!("{at}: the keyword {other} is not known here"));
                true
            }
        };
        if !fits {
            found.push(format!("{at}: {value} against {keyword} {wanted}"));
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The few patterns there are, by what they stand for: their parsers are the judges.
fn matches(pattern: &str, text: &str) -> bool {
    use casemate_protocol as p;
    let hexadecimal =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match pattern {
        "^[0-9a-f]{64}$" => text.len() == 64 && hexadecimal(text),
        "^[0-9a-f]+$" => hexadecimal(text),
        "^[A-Z]{2}$" => text.parse::<p::device::id::Jurisdiction>().is_ok(),
        _ if pattern.starts_with("^(group|tenant)") => text.parse::<p::device::id::Owner>().is_ok(),
        _ if pattern.starts_with("^[a-z0-9](") => text.parse::<p::device::id::Name>().is_ok(),
        _ if pattern.starts_with("^[A-Za-z0-9._@+]") => text.parse::<p::bundle::target_path::FilePath>().is_ok(),
        _ if pattern.ends_with("Z$") => text.parse::<p::tuf::time::UtcTime>().is_ok(),
        _ => false,
    }
}
