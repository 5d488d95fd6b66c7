use std::os::unix::fs::PermissionsExt;

use super::*;

const WHOLE: &str = r#"
consumer = "nginx"
unit     = "nginx.service"
verbs    = ["reload", "restart"]
owners   = ["group.clinics", "tenant.north"]
validate = ["/usr/sbin/nginx", "-t", "-q"]
validate_within = "5s"
unit_within = "2m"
[[link]]
from = "nginx/casemate.conf"
to   = "/etc/nginx/conf.d/casemate.conf"
"#;

fn parsed(text: &str) -> Result<(Name, Rule), AllowListError> {
    parse(Path::new("/etc/casemate/consumers.d/web.toml"), text)
}

fn line(text: &str) -> (usize, String, String) {
    match parsed(text).unwrap_err() {
        AllowListError::Line { line, message, suggestion, .. } => (line, message, suggestion.unwrap_or_default()),
        other => panic!("{other}"),
    }
}

#[test]
fn every_key_is_read() {
    let (consumer, rule) = parsed(WHOLE).unwrap();
    assert_eq!((consumer.as_str(), rule.unit.as_str()), ("nginx", "nginx.service"));
    assert_eq!(rule.verbs, BTreeSet::from([Verb::Reload, Verb::Restart]));
    assert_eq!(rule.owners.unwrap().len(), 2);
    let validate = rule.validate.unwrap();
    assert_eq!((validate.program.to_str(), validate.arguments.len()), (Some("/usr/sbin/nginx"), 2));
    assert_eq!((validate.within, rule.unit_within), (Duration::from_secs(5), Duration::from_secs(120)));
    assert_eq!(rule.links[0].to, Path::new("/etc/nginx/conf.d/casemate.conf"));
}

#[test]
fn a_unit_alone_is_enough_and_the_file_gives_the_name() {
    let (consumer, rule) = parsed("unit = 'nginx.service'").unwrap();
    assert_eq!(consumer.as_str(), "web");
    assert!(rule.verbs.is_empty() && rule.owners.is_none() && rule.validate.is_none() && rule.links.is_empty());
    assert_eq!(rule.unit_within, UNIT_WITHIN);
}

#[test]
fn an_unknown_key_or_verb_is_named_with_its_line_and_what_was_probably_meant() {
    let (at, message, suggestion) = line("unit = 'a.service'\n\nverb = ['reload']\n");
    assert!((at, suggestion.as_str()) == (3, "verbs") && message.contains("verb"), "{at} {message} {suggestion}");
    let (at, _, suggestion) = line("unit = 'a.service'\nverbs = ['relaod']\n");
    assert_eq!((at, suggestion.as_str()), (2, "reload"));
    let (at, _, suggestion) = line("unit = 'a.service'\n[[link]]\nform = 'a'\nto = '/a'\n");
    assert_eq!((at, suggestion.as_str()), (3, "from"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    for (at, text) in [
        (1, "unit = 'nginx; reboot'"),
        (1, "unit = '--force.service'"),
        (2, "unit = 'a.service'\nvalidate = ['nginx', '-t']"),
        (2, "unit = 'a.service'\nvalidate = []"),
        (2, "unit = 'a.service'\nvalidate = '/usr/sbin/nginx -t'"),
        (2, "unit = 'a.service'\nvalidate_within = '0s'"),
        (2, "unit = 'a.service'\nunit_within = '61m'"),
        (2, "unit = 'a.service'\nunit_within = '1h'"),
        (2, "unit = 'a.service'\nowners = ['clinics']"),
        (2, "unit = 'a.service'\nconsumer = 'Not a name'"),
        (2, "unit = 'a.service'\nverbs = ['stop']"),
        (2, "unit = 'a.service'\n[[link]]\nfrom = 'a'\nto = 'etc/a'"),
        (2, "unit = 'a.service'\n[[link]]\nfrom = 'a'\nto = '/etc/../a'"),
        (3, "unit = 'a.service'\n[[link]]\nfrom = '../a'\nto = '/etc/a'"),
        (5, "unit = 'a.service'\n[[link]]\nfrom = 'a'\nto = '/a'\n[[link]]\nfrom = 'b'\nto = '/a'"),
        (1, "verbs = ['reload']"),
    ] {
        assert_eq!(line(text).0, at, "{text}: {:?}", line(text));
    }
    let name = parse(Path::new("/etc/My Service.toml"), "unit = 'a.service'").unwrap_err();
    assert!(name.to_string().contains("name"), "{name}");
}

#[test]
fn a_file_others_may_write_is_refused_and_the_others_stand() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str, mode: u32| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    write("nginx.toml", WHOLE, 0o644);
    write("open.toml", "unit = 'a.service'", 0o666);
    write("zwice.toml", WHOLE, 0o644);
    write("torn.toml", "unit = ", 0o644);
    write("notes.txt", "not a rule", 0o666);
    let list = AllowList::read(folder.path());
    assert_eq!(list.rules.keys().map(Name::as_str).collect::<Vec<_>>(), ["nginx"]);
    let [open, torn, twice] = &list.faults[..] else { panic!("{:?}", list.faults) };
    assert!(matches!(open, AllowListError::Untrusted { .. }) && open.remedy().contains("chmod go-w"), "{open}");
    assert!(matches!(torn, AllowListError::Line { .. }), "{torn}");
    assert!(matches!(twice, AllowListError::Twice { .. }), "{twice}");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let list = AllowList::read(folder.path());
    assert!(list.rules.is_empty() && matches!(list.faults[..], [AllowListError::Untrusted { .. }]));
}

#[test]
fn no_folder_allows_nothing() {
    let list = AllowList::read(Path::new("/nonexistent/consumers.d"));
    assert!(list.rules.is_empty() && list.faults.is_empty());
}
