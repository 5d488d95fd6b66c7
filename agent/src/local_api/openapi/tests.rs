use std::path::Path;

use super::super::routes::ROUTES;
use super::*;

#[test]
fn the_committed_document_is_what_the_code_says() {
    let mut text = serde_json::to_string_pretty(&document::document()).unwrap();
    text.push('\n');
    if text != DOCUMENT {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/openapi.json");
        std::fs::write(&target, text).unwrap();
        panic!("docs/openapi.json is not what the code says; if the change is meant: cp target/openapi.json docs/");
    }
}

#[test]
fn every_name_of_a_template_is_a_parameter_and_the_other_way_round() {
    for route in ROUTES {
        let named = route.template.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let path = route.parameters.iter().filter(|parameter| parameter.place == super::super::routes::Place::Path);
        assert!(named.eq(path.map(|parameter| parameter.name)), "{}", route.template);
    }
}
