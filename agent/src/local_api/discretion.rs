//! What somebody elsewhere is not told: what tenants have here, and where on the appliance things lie.

use casemate_protocol::device::certificate_name::CertificateKind;
use serde_json::Value;

use crate::exit::Failure;

/// Leaves groups alone in a list of owners: what a tenant has here is for that tenant.
pub(super) fn groups(owners: &mut Value) {
    let is_group = |owner: &Value| owner["id"].as_str().is_some_and(|id| id.starts_with("group."));
    if let Some(owners) = owners.as_array_mut() {
        owners.retain(is_group);
    }
}

/// Leaves what concerns `kind` in the report of an import.
pub(super) fn import(report: &mut Value, kind: CertificateKind) {
    for bundle in report["bundles"].as_array_mut().into_iter().flatten() {
        bundle["file"] = "-".into();
        let Some(fields) = bundle.as_object_mut() else { continue };
        if kind == CertificateKind::Operator {
            fields.entry("diff").and_modify(groups);
        } else {
            // Neither the files nor the boundary are for it: a dry run is no way round that.
            fields.remove("diff");
            fields.remove("boundary");
        }
        fields.entry("failure").and_modify(|told| {
            if let Ok(mut known) = serde_json::from_value::<Failure>(told.take()) {
                failure(&mut known);
                *told = serde_json::to_value(known).unwrap_or_default();
            }
        });
    }
}

/// Leaves out what the system said, and every path of the appliance.
pub(super) fn failure(failure: &mut Failure) {
    failure.causes.clear();
    failure.message = pathless(&failure.message);
    failure.remedy = pathless(&failure.remedy);
}

/// `text` without absolute paths but those of the API.
fn pathless(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    for word in text.split_inclusive(|letter: char| letter.is_whitespace() || "\"'`()".contains(letter)) {
        match word.strip_prefix('/') {
            Some(path) if !path.starts_with("v1/") => {
                told.push('…');
                told.extend(word.chars().next_back().filter(|last| !last.is_alphanumeric() && *last != '/'));
            }
            _ => told.push_str(word),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use casemate_protocol::code::Code;
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        json!({ "code": "applied", "bundles": [{
            "file": "/var/lib/casemate/push/x", "code": "applied", "boundary": { "code": "applied" },
            "diff": [{ "id": "group.clinics" }, { "id": "tenant.north" }],
            "failure": { "code": "internal", "what": "cannot open \"/var/lib/x y\"", "why": ["/etc"], "remedy": "-" },
        }] })
    }

    #[test]
    fn an_operator_is_told_of_groups_and_a_publisher_of_no_file_and_no_boundary() {
        let mut told = report();
        import(&mut told, CertificateKind::Operator);
        let bundle = &told["bundles"][0];
        assert_eq!((&bundle["file"], &bundle["diff"]), (&json!("-"), &json!([{ "id": "group.clinics" }])));
        assert!(bundle["boundary"].is_object() && !told.to_string().contains("/var/lib"), "{told}");
        let mut told = report();
        import(&mut told, CertificateKind::Publisher);
        let bundle = &told["bundles"][0];
        assert!(bundle.get("diff").is_none() && bundle.get("boundary").is_none(), "{bundle}");
        assert_eq!(bundle["failure"]["why"], json!([]));
    }

    #[test]
    fn a_failure_names_no_path_of_the_appliance_and_no_cause() {
        let mut told = Failure {
            code: Code::Internal,
            message: "cannot read /var/lib/casemate/objects/ab: /v1/receipts/7 is \"/etc/casemate\", 3/4 of it".into(),
            causes: vec!["permission denied".into()],
            remedy: "See (/run/casemate).".into(),
        };
        failure(&mut told);
        assert_eq!(told.message, "cannot read … /v1/receipts/7 is \"…\", 3/4 of it");
        assert_eq!((told.remedy.as_str(), told.causes.len()), ("See (…).", 0));
    }
}
