//! How the boundary stands, in words: for `status` and `health`.

use casemate_protocol::evidence::health::{BoundaryHealth, Enforcement};

/// The first line names it, later ones are about it.
pub(in crate::cli) fn standing(health: &BoundaryHealth) -> Vec<String> {
    let name = match (&health.name, health.version) {
        (Some(name), Some(version)) => format!("{name} version {version}"),
        _ => "none is assigned, nothing may leave or come in".into(),
    };
    let who = match health.enforcement {
        Enforcement::Host => "held by the kernel, for the whole machine",
        Enforcement::ProcessOnly => "held by the agent, for itself alone",
        Enforcement::Observe => "observed: what goes beyond it is let through for a time",
        Enforcement::None => "held by nobody, though the kernel should",
    };
    let mut lines = vec![format!("{name}; {who}")];
    if health.trial {
        lines.push("on trial until every required peer is reached; `casemate-agent boundary show` names them".into());
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(more: &serde_json::Value) -> Vec<String> {
        let layers = json!({ "door": true, "seccomp": true, "landlock": true, "landlock_tcp": true, "host": true });
        let mut health = json!({
            "enforcement": "host", "policy": "0".repeat(64), "trial": false, "layers": layers, "attempts": 0, "units": [],
        });
        health.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        standing(&serde_json::from_value(health).unwrap())
    }

    #[test]
    fn it_says_which_boundary_stands_and_who_holds_it() {
        let named = told(&json!({ "name": "clinics", "version": 4 }));
        assert_eq!(named, ["clinics version 4; held by the kernel, for the whole machine"]);
        let unnamed = told(&json!({ "enforcement": "process-only" }));
        assert_eq!(unnamed, ["none is assigned, nothing may leave or come in; held by the agent, for itself alone"]);
    }

    #[test]
    fn it_says_that_a_trial_is_under_way() {
        assert!(told(&json!({ "name": "clinics", "version": 4, "trial": true }))[1].starts_with("on trial until"));
    }
}
