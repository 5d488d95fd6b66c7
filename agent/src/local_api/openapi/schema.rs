//! Schemas from the source text of the types: names and shapes from the fields, descriptions from their rustdoc, what
//! may be absent from what serde was told.

use std::collections::{BTreeMap, BTreeSet};

use casemate_protocol::code::Code;
use serde_json::{Map, Value, json};
use syn::{Attribute, Expr, Fields, Item, Lit, Meta, Type};

/// Where the types stand that requests and answers are made of.
const SOURCES: &[&str] = &[
    include_str!("../answer.rs"),
    include_str!("../answer/boundary.rs"),
    include_str!("../event.rs"),
    include_str!("../order.rs"),
    include_str!("../../boundary/drops.rs"),
    include_str!("../../boundary/status.rs"),
    include_str!("../../exit.rs"),
    include_str!("../../../protocol/src/boundary/change.rs"),
    include_str!("../../../protocol/src/boundary/flow.rs"),
    include_str!("../../../protocol/src/boundary/link.rs"),
    include_str!("../../../protocol/src/boundary/listen.rs"),
    include_str!("../../../protocol/src/boundary/peer.rs"),
    include_str!("../../../protocol/src/boundary/policy.rs"),
    include_str!("../../../protocol/src/bundle/manifest.rs"),
    include_str!("../../../protocol/src/device/enrolment.rs"),
    include_str!("../../../protocol/src/device/id.rs"),
    include_str!("../../../protocol/src/evidence/dsse.rs"),
    include_str!("../../../protocol/src/evidence/health.rs"),
    include_str!("../../../protocol/src/evidence/receipt.rs"),
    include_str!("../../../protocol/src/keys/document.rs"),
];

/// Types that are read from requests: what has a default may be left out.
const READ: &[&str] = &["ConsumerReport", "ImportOrder", "Words"];

/// Every schema, and those that they refer to.
pub(super) fn schemas(wanted: impl IntoIterator<Item = &'static str>) -> Map<String, Value> {
    let mut source = Source::default();
    for text in SOURCES {
        source.read(syn::parse_file(text).unwrap());
    }
    let mut schemas = scalars();
    let mut open: BTreeSet<String> = wanted.into_iter().map(str::to_owned).collect();
    while let Some(name) = open.pop_first() {
        if !schemas.contains_key(&name) {
            let item = source.items.get(&name).unwrap_or_else(|| panic!("there is no {name}"));
            let schema = source.schema(&name, item);
            references(&schema, &mut open);
            schemas.insert(name, schema);
        }
    }
    schemas
}

/// Adds what `schema` refers to.
fn references(schema: &Value, found: &mut BTreeSet<String>) {
    match schema {
        Value::Object(members) => {
            let target = members.get("$ref").and_then(Value::as_str).and_then(|text| text.rsplit('/').next());
            found.extend(target.map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(members) => members.iter().for_each(|member| references(member, found)),
        _ => {}
    }
}

/// A reference to a schema.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// What is written as a text, a number or as plain bytes.
fn scalars() -> Map<String, Value> {
    let text = |about: &str, pattern: &str| json!({ "type": "string", "description": about, "pattern": pattern });
    let whole = |about: &str| json!({ "type": "integer", "description": about, "minimum": 0, "maximum": u64::MAX });
    let name = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let component = "[A-Za-z0-9._@+][A-Za-z0-9._@+-]*";
    let all = [
        ("Bytes", json!({ "type": "string", "format": "binary", "description": "Bytes as they are." })),
        ("Code", json!({ "type": "string", "description": "An outcome; docs/codes.md lists them.", "enum": codes })),
        ("Count", whole("A whole number, from 1.")),
        ("Digest", text("SHA-256, hexadecimal.", "^[0-9a-f]{64}$")),
        ("Document", json!({ "type": "object", "description": "An OpenAPI document." })),
        ("EntityTag", text("An object in quotes.", "^\"[0-9a-f]{64}\"$")),
        (
            "EventStream",
            json!({ "type": "string", "description": "Server-sent events, as the HTML standard has them." }),
        ),
        ("FilePath", text("A path inside a generation.", &format!("^{component}(/{component}){{0,4}}$"))),
        ("Flag", json!({ "type": "boolean", "description": "`true` or `false`." })),
        ("IpAddr", text("An IPv4 or IPv6 address.", "^[0-9a-f.:]+$")),
        ("Jurisdiction", text("ISO 3166-1 alpha-2.", "^[A-Z]{2}$")),
        ("KeyId", text("SHA-256 of the key, hexadecimal.", "^[0-9a-f]{64}$")),
        ("Length", whole("A number of bytes.")),
        ("Name", text("1 to 63 of a-z, 0-9 and -, a letter or digit at both ends.", &format!("^{name}$"))),
        ("Network", text("A network: an address and a prefix length.", "^[0-9a-f.:]+(/[0-9]{1,3})?$")),
        ("Owner", text("Who signs a subtree.", &format!("^(group|tenant)\\.{name}$"))),
        ("OwnerKind", json!({ "type": "string", "description": "Operator or tenant.", "enum": ["groups", "tenants"] })),
        ("Ports", text("A port or a range of ports, both ends included.", "^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?$")),
        ("Range", text("One range of bytes.", "^bytes=([0-9]+-[0-9]*|-[0-9]+)$")),
        ("Sequence", whole("A size of the journal.")),
        ("UtcTime", text("UTC.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")),
    ];
    all.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect()
}

#[derive(Default)]
struct Source {
    items: BTreeMap<String, Item>,
}

impl Source {
    fn read(&mut self, file: syn::File) {
        for item in file.items {
            let name = match &item {
                Item::Struct(item) => item.ident.to_string(),
                Item::Enum(item) => item.ident.to_string(),
                Item::Type(item) => item.ident.to_string(),
                _ => continue,
            };
            // What an answer calls by a name comes first; the same name further down is another's business.
            self.items.entry(name).or_insert(item);
        }
    }

    fn schema(&self, name: &str, item: &Item) -> Value {
        match item {
            Item::Struct(item) => self.object(name, &item.attrs, &item.fields),
            Item::Enum(item) => {
                assert!(serde(&item.attrs).contains("rename_all = \"kebab-case\""), "{name} is written otherwise");
                let texts: Vec<_> = item.variants.iter().map(|variant| kebab(&variant.ident.to_string())).collect();
                json!({ "type": "string", "description": rustdoc(&item.attrs), "enum": texts })
            }
            _ => panic!("{name} is no type"),
        }
    }

    fn object(&self, name: &str, attributes: &[Attribute], fields: &Fields) -> Value {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        if name.ends_with("Event") {
            properties.insert("sequence".into(), described(reference("Sequence"), "Journal size after the change."));
            required.push("sequence".to_owned());
        }
        for field in fields {
            let told = serde(&field.attrs);
            let renamed = told.split("rename = \"").nth(1).and_then(|rest| rest.split('"').next());
            let ident = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
            let key = renamed.map_or(ident, str::to_owned);
            let (schema, optional) = self.shape(&field.ty);
            let absent =
                if READ.contains(&name) { told.contains("default") } else { told.contains("skip_serializing_if") };
            assert!(!optional || absent, "{name}.{key} may be null");
            if !absent {
                required.push(key.clone());
            }
            properties.insert(key, described(schema, &rustdoc(&field.attrs)));
        }
        json!({
            "type": "object", "description": rustdoc(attributes), "additionalProperties": false,
            "required": required, "properties": properties,
        })
    }

    /// The schema of a type, and whether it is an `Option`.
    fn shape(&self, of: &Type) -> (Value, bool) {
        let Type::Path(path) = of else { panic!("a type without a name") };
        let last = path.path.segments.last().unwrap();
        let inner = |at: usize| match &last.arguments {
            syn::PathArguments::AngleBracketed(arguments) => match arguments.args.iter().nth(at) {
                Some(syn::GenericArgument::Type(inner)) => self.shape(inner).0,
                _ => panic!("no argument {at}"),
            },
            _ => panic!("no arguments"),
        };
        let schema = match last.ident.to_string().as_str() {
            "Option" => return (inner(0), true),
            "Vec" => json!({ "type": "array", "items": inner(0) }),
            "BTreeMap" => json!({ "type": "object", "propertyNames": inner(0), "additionalProperties": inner(1) }),
            "String" | "PathBuf" => json!({ "type": "string" }),
            "bool" => json!({ "type": "boolean" }),
            "u64" => json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
            "u32" => json!({ "type": "integer", "minimum": 0, "maximum": u32::MAX }),
            "i64" => json!({ "type": "integer" }),
            "u16" => json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX }),
            alias if matches!(self.items.get(alias), Some(Item::Type(_))) => {
                let Some(Item::Type(item)) = self.items.get(alias) else { unreachable!() };
                return self.shape(&item.ty);
            }
            name => reference(name),
        };
        (schema, false)
    }
}

fn described(mut schema: Value, about: &str) -> Value {
    if !about.is_empty()
        && let Some(members) = schema.as_object_mut()
    {
        members.insert("description".into(), about.into());
    }
    schema
}

/// What `#[serde(…)]` says, as text.
fn serde(attributes: &[Attribute]) -> String {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("serde"));
    let text = lists.filter_map(|attribute| attribute.meta.require_list().ok().map(|list| list.tokens.to_string()));
    text.collect::<Vec<_>>().join(", ")
}

/// The rustdoc, its links as plain text.
fn rustdoc(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes {
        if let Meta::NameValue(pair) = &attribute.meta
            && pair.path.is_ident("doc")
            && let Expr::Lit(literal) = &pair.value
            && let Lit::Str(line) = &literal.lit
        {
            text.push_str(&line.value());
        }
    }
    text.trim().replace("[`", "`").replace("`]", "`")
}

fn kebab(name: &str) -> String {
    let mut text = String::new();
    for (at, letter) in name.chars().enumerate() {
        if letter.is_ascii_uppercase() && at > 0 {
            text.push('-');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}
