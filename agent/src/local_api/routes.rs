//! Every route, as data: the router, the OpenAPI document and the tests read this one table.

use casemate_protocol::device::certificate_name::CertificateKind;
use hyper::Method;

use crate::config::Role;

/// What a route does; the server matches on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// How the appliance is.
    Health,
    /// Where it stands.
    Status,
    /// What is current.
    Tree,
    /// A current file's bytes.
    File,
    /// What generations change.
    Diff,
    /// What happens.
    Events,
    /// A consumer's report.
    Report,
    /// An import.
    Bundles,
    /// How far an upload is.
    UploadOffset,
    /// The next bytes of an upload.
    Upload,
    /// How the boundary stands.
    Boundary,
    /// The receipts kept.
    Receipts,
    /// One receipt.
    Receipt,
    /// A receipt was taken home.
    Taken,
    /// An enrolment request.
    EnrolRequest,
    /// A grant.
    EnrolGrant,
    /// The words.
    EnrolWords,
    /// This description.
    OpenApi,
}

/// One route.
#[derive(Debug)]
pub struct Route {
    /// What it does.
    pub endpoint: Endpoint,
    /// `HEAD` also goes wherever `GET` does.
    pub method: Method,
    /// Its path; `{path}` stands for all that is left, any other `{name}` for one segment.
    pub template: &'static str,
    /// Through whose sockets on the appliance.
    pub roles: &'static [Role],
    /// With whose certificates from elsewhere.
    pub kinds: &'static [CertificateKind],
    /// One sentence.
    pub summary: &'static str,
    /// What goes into path, query and header.
    pub parameters: &'static [Parameter],
    /// What the body may be; none is taken if empty.
    pub bodies: &'static [Content],
    /// What comes back if all is well.
    pub answers: &'static [Answer],
    /// Statuses of refusals, each with a `Failure`.
    pub refusals: &'static [u16],
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the path; always there.
    Path,
    /// In the query; may be absent.
    Query,
    /// A header; may be absent.
    Header,
}

/// One parameter.
#[derive(Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Where.
    pub place: Place,
    /// The schema's name in the document.
    pub schema: &'static str,
    /// One sentence.
    pub about: &'static str,
}

/// A body of one media type.
#[derive(Debug)]
pub struct Content {
    /// Its media type.
    pub media: &'static str,
    /// The schema's name in the document.
    pub schema: &'static str,
}

/// One good answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// One sentence.
    pub about: &'static str,
    /// Its body; none if absent.
    pub content: Option<Content>,
}

/// Media type of documents.
pub const JSON: &str = "application/json";
/// Media type of a bundle.
pub const BUNDLE: &str = "application/vnd.casemate.bundle";
/// Media type of a file.
pub const BYTES: &str = "application/octet-stream";
/// Media type of events.
pub const EVENTS: &str = "text/event-stream";

const EVERYBODY: &[Role] = &Role::ALL;
const READERS: &[Role] = &[Role::Admin, Role::Consumer];
const WATCHERS: &[Role] = &[Role::Admin, Role::Monitor];
const ADMIN: &[Role] = &[Role::Admin];

const ANYBODY: &[CertificateKind] =
    &[CertificateKind::Operator, CertificateKind::Publisher, CertificateKind::Auditor, CertificateKind::Service];
const RECEIVERS: &[CertificateKind] =
    &[CertificateKind::Operator, CertificateKind::Publisher, CertificateKind::Auditor];
const OVERSEERS: &[CertificateKind] = &[CertificateKind::Operator, CertificateKind::Auditor];
const SENDERS: &[CertificateKind] = &[CertificateKind::Operator, CertificateKind::Publisher];
const OPERATOR: &[CertificateKind] = &[CertificateKind::Operator];
const NOBODY: &[CertificateKind] = &[];

const fn document(schema: &'static str, about: &'static str) -> Answer {
    Answer { status: 200, about, content: Some(Content { media: JSON, schema }) }
}

const NUMBER: Parameter =
    Parameter { name: "number", place: Place::Path, schema: "Count", about: "The receipt's number." };

const DIGEST: Parameter =
    Parameter { name: "digest", place: Place::Path, schema: "Digest", about: "SHA-256 of the whole bundle." };

/// Every route.
pub const ROUTES: &[Route] = &[
    Route {
        endpoint: Endpoint::Health,
        method: Method::GET,
        template: "/v1/health",
        roles: EVERYBODY,
        kinds: ANYBODY,
        summary: "How the appliance is: a closed set of states and codes, no personal data.",
        parameters: &[],
        bodies: &[],
        answers: &[document("HealthReport", "The report.")],
        refusals: &[],
    },
    Route {
        endpoint: Endpoint::Status,
        method: Method::GET,
        template: "/v1/status",
        roles: READERS,
        kinds: OVERSEERS,
        summary: "Where the appliance stands: enrolment, trust, every owner's machine.",
        parameters: &[],
        bodies: &[],
        answers: &[document("StatusReport", "The report.")],
        refusals: &[],
    },
    Route {
        endpoint: Endpoint::Tree,
        method: Method::GET,
        template: "/v1/tree",
        roles: READERS,
        kinds: OPERATOR,
        summary: "What is current: every owner's generation, its files and their digests, and who reads them. Told elsewhere: of groups alone.",
        parameters: &[],
        bodies: &[],
        answers: &[document("TreeReport", "The tree, and the sequence it is true at.")],
        refusals: &[],
    },
    Route {
        endpoint: Endpoint::File,
        method: Method::GET,
        template: "/v1/files/{owners}/{id}/{path}",
        roles: READERS,
        kinds: OPERATOR,
        summary: "The bytes of a current file, whole or a range of them. Slashes in the path may stand as they are. Told elsewhere: of groups alone.",
        parameters: &[
            Parameter { name: "owners", place: Place::Path, schema: "OwnerKind", about: "The kind of owner." },
            Parameter { name: "id", place: Place::Path, schema: "Name", about: "The owner's name." },
            Parameter { name: "path", place: Place::Path, schema: "FilePath", about: "As in the tree." },
            Parameter {
                name: "Range",
                place: Place::Header,
                schema: "Range",
                about: "One range of bytes. Several, or another unit, are answered with the whole file.",
            },
            Parameter {
                name: "If-Range",
                place: Place::Header,
                schema: "EntityTag",
                about: "The range counts only while the file has this tag.",
            },
            Parameter {
                name: "If-None-Match",
                place: Place::Header,
                schema: "EntityTag",
                about: "No bytes if the file has this tag.",
            },
        ],
        bodies: &[],
        answers: &[
            Answer {
                status: 200,
                about: "The file. Its `ETag` is its object in quotes.",
                content: Some(Content { media: BYTES, schema: "Bytes" }),
            },
            Answer { status: 206, about: "The range.", content: Some(Content { media: BYTES, schema: "Bytes" }) },
            Answer { status: 304, about: "The file has the tag that was given.", content: None },
        ],
        refusals: &[404, 416],
    },
    Route {
        endpoint: Endpoint::Diff,
        method: Method::GET,
        template: "/v1/diff",
        roles: READERS,
        kinds: OPERATOR,
        summary: "By owner, which files the generation under way changes, or, if none is, the last one changed. Told elsewhere: of groups alone.",
        parameters: &[],
        bodies: &[],
        answers: &[document("DiffReport", "The differences.")],
        refusals: &[],
    },
    Route {
        endpoint: Endpoint::Events,
        method: Method::GET,
        template: "/v1/events",
        roles: READERS,
        kinds: OPERATOR,
        summary: "What happens, as server-sent events, until the reader leaves or falls too far behind.",
        parameters: &[
            Parameter {
                name: "after",
                place: Place::Query,
                schema: "Sequence",
                about: "Begin after this sequence, such as a tree's; from now on if absent.",
            },
            Parameter {
                name: "Last-Event-ID",
                place: Place::Header,
                schema: "Sequence",
                about: "The id received last: resume after it. Counts before `after`.",
            },
        ],
        bodies: &[],
        answers: &[Answer {
            status: 200,
            about: "`event:` names a `…Event` schema of this document, `data:` is one. `reset`: read the tree anew.",
            content: Some(Content { media: EVENTS, schema: "EventStream" }),
        }],
        refusals: &[400, 503],
    },
    Route {
        endpoint: Endpoint::Report,
        method: Method::POST,
        template: "/v1/consumers/{consumer}/reports",
        roles: READERS,
        kinds: NOBODY,
        summary: "A consumer says whether a generation in probation works for it.",
        parameters: &[Parameter {
            name: "consumer",
            place: Place::Path,
            schema: "Name",
            about: "Its name in the owner's manifest.",
        }],
        bodies: &[Content { media: JSON, schema: "ConsumerReport" }],
        answers: &[document("ReportAnswer", "The report counts; where the owner stands now.")],
        refusals: &[400, 404, 409, 413, 415],
    },
    Route {
        endpoint: Endpoint::Bundles,
        method: Method::POST,
        template: "/v1/bundles",
        roles: ADMIN,
        kinds: SENDERS,
        summary: "Import one bundle that is the body itself or, asked on the appliance, bundles from a path its user can read.",
        parameters: &[
            Parameter {
                name: "wait",
                place: Place::Query,
                schema: "Flag",
                about: "Of a bundle in the body: answer once no owner is in probation any more.",
            },
            Parameter {
                name: "dry_run",
                place: Place::Query,
                schema: "Flag",
                about: "Of a bundle in the body: verify, say what would change, change nothing.",
            },
        ],
        bodies: &[Content { media: JSON, schema: "ImportOrder" }, Content { media: BUNDLE, schema: "Bytes" }],
        answers: &[document(
            "ImportReport",
            "What became of every bundle, refusals of single bundles included; to a publisher, without differences and boundary.",
        )],
        refusals: &[400, 409, 413, 415, 422, 503],
    },
    Route {
        endpoint: Endpoint::UploadOffset,
        method: Method::HEAD,
        template: "/v1/uploads/{digest}",
        roles: &[],
        kinds: SENDERS,
        summary: "How many bytes of a bundle are here already, as `Upload-Offset`; 0 if none.",
        parameters: &[DIGEST],
        bodies: &[],
        answers: &[Answer { status: 200, about: "`Upload-Offset`; `Upload-Length` once it was said.", content: None }],
        refusals: &[404],
    },
    Route {
        endpoint: Endpoint::Upload,
        method: Method::PATCH,
        template: "/v1/uploads/{digest}",
        roles: &[],
        kinds: SENDERS,
        summary: "The next bytes of a bundle, at the offset that HEAD told; the last of them have it imported.",
        parameters: &[
            DIGEST,
            Parameter {
                name: "Upload-Offset",
                place: Place::Header,
                schema: "Length",
                about: "Where these bytes go: exactly behind those that are here. Must be there.",
            },
            Parameter {
                name: "Upload-Length",
                place: Place::Header,
                schema: "Length",
                about: "The bundle's length, the same each time. Must be there.",
            },
        ],
        bodies: &[Content { media: BYTES, schema: "Bytes" }],
        answers: &[
            document("ImportReport", "The bundle is whole; what became of it."),
            Answer { status: 204, about: "More is to come; `Upload-Offset` says from where.", content: None },
        ],
        refusals: &[400, 404, 409, 413, 415, 422, 503],
    },
    Route {
        endpoint: Endpoint::Boundary,
        method: Method::GET,
        template: "/v1/boundary",
        roles: WATCHERS,
        kinds: OVERSEERS,
        summary: "What may be exchanged with whom, who sees to it, and, for admin and operator, what was stopped.",
        parameters: &[],
        bodies: &[],
        answers: &[document("BoundaryReport", "The report.")],
        refusals: &[],
    },
    Route {
        endpoint: Endpoint::Receipts,
        method: Method::GET,
        template: "/v1/receipts",
        roles: ADMIN,
        kinds: RECEIVERS,
        summary: "The receipts kept here.",
        parameters: &[],
        bodies: &[],
        answers: &[document("ReceiptList", "By number.")],
        refusals: &[],
    },
    Route {
        endpoint: Endpoint::Receipt,
        method: Method::GET,
        template: "/v1/receipts/{number}",
        roles: ADMIN,
        kinds: RECEIVERS,
        summary: "One receipt as signed.",
        parameters: &[NUMBER],
        bodies: &[],
        answers: &[document("Envelope", "A DSSE envelope around an in-toto statement.")],
        refusals: &[404],
    },
    Route {
        endpoint: Endpoint::Taken,
        method: Method::POST,
        template: "/v1/receipts/{number}/taken",
        roles: ADMIN,
        kinds: SENDERS,
        summary: "Says that a receipt has been taken home.",
        parameters: &[NUMBER],
        bodies: &[],
        answers: &[Answer { status: 204, about: "Noted.", content: None }],
        refusals: &[404, 413],
    },
    Route {
        endpoint: Endpoint::EnrolRequest,
        method: Method::POST,
        template: "/v1/enrolment/request",
        roles: ADMIN,
        kinds: NOBODY,
        summary: "An enrolment request for this device's keys; makes them if there are none.",
        parameters: &[],
        bodies: &[],
        answers: &[document("EnrolmentRequest", "The request, signed by the device.")],
        refusals: &[409, 413],
    },
    Route {
        endpoint: Endpoint::EnrolGrant,
        method: Method::POST,
        template: "/v1/enrolment/grant",
        roles: ADMIN,
        kinds: NOBODY,
        summary: "Reads a grant; its words then wait for confirmation.",
        parameters: &[],
        bodies: &[Content { media: JSON, schema: "EnrolmentGrant" }],
        answers: &[document("PendingEnrolment", "The words: the same must stand at the control plane.")],
        refusals: &[409, 413, 415, 422],
    },
    Route {
        endpoint: Endpoint::EnrolWords,
        method: Method::POST,
        template: "/v1/enrolment/words",
        roles: ADMIN,
        kinds: NOBODY,
        summary: "Confirms that the words are the same on both sides.",
        parameters: &[],
        bodies: &[Content { media: JSON, schema: "Words" }],
        answers: &[document("ConfirmedEnrolment", "Enrolled.")],
        refusals: &[400, 409, 413, 415, 422],
    },
    Route {
        endpoint: Endpoint::OpenApi,
        method: Method::GET,
        template: "/v1/openapi.json",
        roles: EVERYBODY,
        kinds: OPERATOR,
        summary: "This document.",
        parameters: &[],
        bodies: &[],
        answers: &[document("Document", "OpenAPI 3.1.")],
        refusals: &[],
    },
];
