//! From method and path to a route and its parameters.

use hyper::Method;

use super::refusal::RequestError;
use super::routes::{ROUTES, Route};
use crate::config::Role;

/// A route and what its path says.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) route: &'static Route,
    parameters: Vec<(&'static str, String)>,
}

impl Found {
    /// The parameter `name` of the path.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }
}

/// The route that answers `method` on `path` for `role`.
pub(super) fn find(role: Role, method: &Method, path: &str) -> Result<Found, RequestError> {
    let excerpt = || path.chars().take(200).collect::<String>();
    // HEAD is GET without the body, which hyper leaves out.
    let asked = if method == Method::HEAD { &Method::GET } else { method };
    let mut others = Vec::new();
    for route in ROUTES {
        let Some(parameters) = parameters(route.template, path) else { continue };
        if route.method != asked {
            others.push(route.method.clone());
            continue;
        }
        if !route.roles.contains(&role) {
            return Err(RequestError::Role { role, path: excerpt() });
        }
        return Ok(Found { route, parameters });
    }
    if others.is_empty() {
        return Err(RequestError::Unknown { method: method.clone(), path: excerpt() });
    }
    Err(RequestError::Method { method: method.clone(), path: excerpt(), allowed: others })
}

/// What stands in `path` for the names of `template`; `None` if it is another path.
fn parameters(template: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut found = Vec::new();
    let mut left = path.strip_prefix('/')?;
    let mut names = template.trim_start_matches('/').split('/').peekable();
    while let Some(name) = names.next() {
        let last = names.peek().is_none();
        let rest = last && name == "{path}";
        let (segment, after) =
            if rest { (left, None) } else { left.split_once('/').map_or((left, None), |(a, b)| (a, Some(b))) };
        match name.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) if !segment.is_empty() => found.push((name, decoded(segment)?)),
            None if name == segment => {}
            _ => return None,
        }
        match (last, after) {
            (true, None) => return Some(found),
            (false, Some(after)) => left = after,
            _ => return None,
        }
    }
    None
}

/// Percent-decoded text; `None` if it is none.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::super::routes::Endpoint;
    use super::*;

    fn endpoint(role: Role, method: &Method, path: &str) -> Result<Endpoint, RequestError> {
        find(role, method, path).map(|found| found.route.endpoint)
    }

    #[test]
    fn a_path_leads_to_its_route_and_its_parameters() {
        let found = find(Role::Admin, &Method::GET, "/v1/files/groups/clinics/synapse/homeserver.yaml").unwrap();
        assert_eq!(found.route.endpoint, Endpoint::File);
        assert_eq!((found.parameter("owners"), found.parameter("id")), ("groups", "clinics"));
        assert_eq!(found.parameter("path"), "synapse/homeserver.yaml");
        let escaped = find(Role::Admin, &Method::GET, "/v1/files/groups/clinics/a%2Fb%40c").unwrap();
        assert_eq!(escaped.parameter("path"), "a/b@c");
        assert_eq!(find(Role::Admin, &Method::POST, "/v1/receipts/7/taken").unwrap().parameter("number"), "7");
        assert_eq!(endpoint(Role::Monitor, &Method::HEAD, "/v1/health").unwrap(), Endpoint::Health);
    }

    #[test]
    fn what_is_no_route_is_unknown() {
        for path in [
            "",
            "/",
            "/v1",
            "/v1/",
            "/v2/health",
            "/v1/health/",
            "/v1//health",
            "/v1/receipts/",
            "/v1/files/groups/a",
            "/v1/files/groups/a/",
            "/v1/files//a/b",
            "/v1/receipts/%zz",
            "/v1/receipts/%ff",
            "v1/health",
        ] {
            assert!(matches!(endpoint(Role::Admin, &Method::GET, path), Err(RequestError::Unknown { .. })), "{path}");
        }
    }

    #[test]
    fn another_method_is_told_which_there_are() {
        let error = endpoint(Role::Admin, &Method::DELETE, "/v1/health").unwrap_err();
        assert!(matches!(error, RequestError::Method { allowed, .. } if allowed == [Method::GET]));
    }

    #[test]
    fn a_role_reaches_its_routes_and_no_others() {
        let mut refused = Vec::new();
        for route in ROUTES {
            for role in Role::ALL {
                let path = route.template.replace("{number}", "1").replace("{owners}", "groups");
                let path = path.replace("{id}", "a").replace("{path}", "b").replace("{consumer}", "c");
                match endpoint(role, &route.method, &path) {
                    Ok(endpoint) => assert!(endpoint == route.endpoint && route.roles.contains(&role), "{path}"),
                    Err(RequestError::Role { .. }) => refused.push((role, route.endpoint)),
                    Err(error) => panic!("{path}: {error}"),
                }
            }
        }
        let admins = [Endpoint::Bundles, Endpoint::Receipts, Endpoint::Receipt, Endpoint::Taken];
        let enrolment = [Endpoint::EnrolRequest, Endpoint::EnrolGrant, Endpoint::EnrolWords];
        for endpoint in admins.into_iter().chain(enrolment) {
            assert!(refused.contains(&(Role::Consumer, endpoint)) && refused.contains(&(Role::Monitor, endpoint)));
        }
        let monitors: Vec<_> =
            ROUTES.iter().filter(|route| route.roles.contains(&Role::Monitor)).map(|route| route.endpoint).collect();
        assert_eq!(monitors, [Endpoint::Health, Endpoint::Boundary, Endpoint::OpenApi]);
    }
}
