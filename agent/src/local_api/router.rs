//! From method and path to a route and its parameters.

use hyper::Method;

use super::caller::Caller;
use super::refusal::RequestError;
use super::routes::{ROUTES, Route};

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

/// The route that answers `method` on `path` for `caller`.
pub(super) fn find(caller: &Caller, method: &Method, path: &str) -> Result<Found, RequestError> {
    let excerpt = || path.chars().take(200).collect::<String>();
    // HEAD is GET without the body, which hyper leaves out, unless it is a route of its own.
    let answers = |route: &Route| route.method == method || (method == Method::HEAD && route.method == Method::GET);
    let mut others = Vec::new();
    for route in ROUTES {
        let Some(parameters) = parameters(route.template, path) else { continue };
        if !answers(route) {
            others.push(route.method.clone());
            continue;
        }
        if !caller.may(route) {
            return Err(RequestError::Caller { caller: caller.clone(), path: excerpt() });
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
    use casemate_protocol::device::certificate_name::CertificateKind;

    use super::super::routes::Endpoint;
    use super::*;
    use crate::config::Role;

    fn endpoint(role: Role, method: &Method, path: &str) -> Result<Endpoint, RequestError> {
        find(&Caller::Local(role), method, path).map(|found| found.route.endpoint)
    }

    /// What a route's path may look like.
    fn sample(route: &Route) -> String {
        let path = route.template.replace("{number}", "1").replace("{owners}", "groups").replace("{digest}", "00");
        path.replace("{id}", "a").replace("{path}", "b").replace("{consumer}", "c")
    }

    #[test]
    fn a_path_leads_to_its_route_and_its_parameters() {
        let admin = Caller::Local(Role::Admin);
        let found = find(&admin, &Method::GET, "/v1/files/groups/clinics/synapse/homeserver.yaml").unwrap();
        assert_eq!(found.route.endpoint, Endpoint::File);
        assert_eq!((found.parameter("owners"), found.parameter("id")), ("groups", "clinics"));
        assert_eq!(found.parameter("path"), "synapse/homeserver.yaml");
        let escaped = find(&admin, &Method::GET, "/v1/files/groups/clinics/a%2Fb%40c").unwrap();
        assert_eq!(escaped.parameter("path"), "a/b@c");
        assert_eq!(find(&admin, &Method::POST, "/v1/receipts/7/taken").unwrap().parameter("number"), "7");
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
                let path = sample(route);
                match endpoint(role, &route.method, &path) {
                    Ok(endpoint) => assert!(endpoint == route.endpoint && route.roles.contains(&role), "{path}"),
                    Err(RequestError::Caller { .. }) => refused.push((role, route.endpoint)),
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

    #[test]
    fn a_certificate_opens_what_its_kind_is_for_and_nothing_else() {
        use Endpoint::{
            Boundary, Bundles, Diff, Events, File, Health, OpenApi, Receipt, Receipts, Status, Taken, Tree, Upload,
            UploadOffset,
        };
        let opens = |kind: CertificateKind| {
            let name = format!("casemate://LU/{kind}/a").parse().unwrap();
            let caller = Caller::Remote(std::sync::Arc::new(name));
            let reached = ROUTES.iter().filter(|route| find(&caller, &route.method, &sample(route)).is_ok());
            reached.map(|route| route.endpoint).collect::<Vec<_>>()
        };
        let operator = [
            Health,
            Status,
            Tree,
            File,
            Diff,
            Events,
            Bundles,
            UploadOffset,
            Upload,
            Boundary,
            Receipts,
            Receipt,
            Taken,
            OpenApi,
        ];
        assert_eq!(opens(CertificateKind::Operator), operator);
        let publisher = [Health, Bundles, UploadOffset, Upload, Receipts, Receipt, Taken];
        assert_eq!(opens(CertificateKind::Publisher), publisher);
        assert_eq!(opens(CertificateKind::Auditor), [Health, Status, Boundary, Receipts, Receipt]);
        assert_eq!(opens(CertificateKind::Service), [Health]);
        assert_eq!(opens(CertificateKind::Appliance), []);
    }
}
