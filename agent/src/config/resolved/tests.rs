use casemate_protocol::code::Explain;

use super::*;

fn explain(text: &str) -> Result<(Config, Vec<Setting>), ConfigError> {
    let path = Path::new("agent.toml");
    resolve(path, file::parse(path, text)?, text, WallClock::system())
}

fn read(text: &str) -> Result<Config, ConfigError> {
    explain(text).map(|(config, _)| config)
}

#[test]
fn the_boundary_is_enforced_on_the_host_unless_the_file_says_otherwise() {
    let config = read("").unwrap();
    assert_eq!((config.enforcement, config.boundary.clone()), (Enforcement::Host, BoundaryPlaces::default()));
    assert_eq!(config.boundary.run, Path::new("/run/casemate-boundary"));
    assert_eq!(read("enforcement = 'process-only'").unwrap().enforcement, Enforcement::ProcessOnly);
    let error = read("state = '/s'\nenforcement = 'none'").unwrap_err();
    assert!(matches!(error, ConfigError::Line { line: 2, .. }), "{error}");
    let error = read("[boundary]\nrun = 'here'").unwrap_err();
    assert!(matches!(error, ConfigError::Relative { key: "boundary.run", .. }), "{error}");
}

#[test]
fn an_empty_file_means_the_defaults_and_the_admin_socket_alone() {
    let config = read("").unwrap();
    assert_eq!(config.state, Path::new(STATE));
    assert_eq!((config.stick, config.reserve, config.log), (None, 64 << 20, Level::INFO));
    let admin = LocalSocket { role: Role::Admin, path: "/run/casemate/agent.sock".into(), group: None };
    assert_eq!(config.local, [admin]);
}

#[test]
fn every_key_is_read() {
    let config = read(
        "state='/s'\nstick='/m'\nreserve='2 GiB'\nlog='warn'\n[local.admin]\nsocket='/a'\ngroup='wheel'\n\
         [local.consumer]\nsocket='/c'\ngroup='readers'\n[local.monitor]\n",
    )
    .unwrap();
    assert_eq!((config.state.as_path(), config.stick.as_deref()), (Path::new("/s"), Some(Path::new("/m"))));
    assert_eq!((config.reserve, config.log), (2 << 30, Level::WARN));
    let socket = |role, path: &str, group: Option<&str>| LocalSocket {
        role,
        path: path.into(),
        group: group.map(str::to_owned),
    };
    let sockets = [
        socket(Role::Admin, "/a", Some("wheel")),
        socket(Role::Consumer, "/c", Some("readers")),
        socket(Role::Monitor, "/run/casemate/monitor.sock", None),
    ];
    assert_eq!(config.local, sockets);
}

#[test]
fn the_older_name_of_the_admin_socket_still_counts_but_not_beside_the_newer() {
    let config = read("socket = '/k'").unwrap();
    assert_eq!(config.admin_socket(), Path::new("/k"));
    let error = read("state = '/s'\nsocket = '/k'\n[local.admin]\nsocket = '/a'\n").unwrap_err();
    assert!(matches!(&error, ConfigError::Line { line: 2, .. }), "{error}");
}

#[test]
fn two_roles_cannot_share_a_socket() {
    let error = read("[local.admin]\nsocket='/a'\n[local.monitor]\nsocket='/a'\n").unwrap_err();
    assert!(matches!(error, ConfigError::SameSocket { one: Role::Admin, other: Role::Monitor, .. }), "{error}");
}

#[test]
fn every_value_says_where_it_came_from() {
    let (_, settings) = explain("# ours\nstate = '/s'\n\n[local.consumer]\ngroup = 'readers'\n").unwrap();
    let shown: Vec<_> = settings
        .iter()
        .map(|setting| format!("{} {} {}", setting.key, setting.value.as_deref().unwrap_or("-"), setting.origin))
        .collect();
    let expected = [
        "state /s agent.toml:2",
        "stick - default",
        "reserve 64 MiB default",
        "log info default",
        "enforcement host default",
        "local.admin.socket /run/casemate/agent.sock default",
        "local.admin.group - default",
        "local.consumer.socket /run/casemate/consumer.sock default",
        "local.consumer.group readers agent.toml:5",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_what_was_probably_meant() {
    let error = read("state = '/s'\n\nsokcet = '/k'\n").unwrap_err();
    assert!(matches!(&error, ConfigError::Line { line: 3, .. }), "{error}");
    assert!(error.to_string().contains("`sokcet`") && error.remedy().contains("\"socket\""), "{error}");
    assert!(!read("colour = 'red'").unwrap_err().remedy().contains("mean"));
}

#[test]
fn in_a_table_what_the_table_knows_is_suggested() {
    for (text, line, suggestion) in [
        ("[local.consumer]\n\ngrop = 'g'\n", 3, "\"group\""),
        ("[local.moniter]\n", 1, "\"monitor\""),
        ("log = 'info'\n[lokal.admin]\nsocket='/a'\n", 2, "\"local\""),
    ] {
        let error = read(text).unwrap_err();
        assert!(matches!(&error, ConfigError::Line { line: found, .. } if *found == line), "{error}");
        assert!(error.remedy().contains(suggestion), "{error}: {}", error.remedy());
    }
}

#[test]
fn a_wrong_size_or_level_is_named_with_its_line() {
    for text in ["64", "64 MB", "MiB", "-1 MiB", "99999999 TiB"] {
        let error = read(&format!("state = '/s'\nreserve = '{text}'\n")).unwrap_err();
        assert!(matches!(error, ConfigError::Line { line: 2, .. }), "{text}");
    }
    let error = read("log = 'verbose'").unwrap_err();
    assert!(matches!(error, ConfigError::Line { line: 1, .. }), "{error}");
}

#[test]
fn a_relative_path_is_refused() {
    for text in ["state = 'state'", "stick = 'm'", "[local.admin]\nsocket = 'a'"] {
        assert!(matches!(read(text).unwrap_err(), ConfigError::Relative { .. }), "{text}");
    }
}

#[test]
fn a_group_that_is_not_there_is_named() {
    let config = read("[local.monitor]\ngroup = 'no-such-group-here'\n").unwrap();
    let error = config.local[1].gid().unwrap_err();
    assert!(matches!(error, ConfigError::NoGroup { role: Role::Monitor, .. }), "{error}");
    let root = read("[local.monitor]\ngroup = 'root'\n").unwrap();
    assert_eq!(root.local[1].gid().unwrap().map(nix::unistd::Gid::as_raw), Some(0));
}

#[test]
fn only_the_default_file_may_be_absent() {
    assert!(Config::load(Path::new("/nonexistent/agent.toml"), WallClock::system()).is_err());
}

#[test]
fn the_packaged_file_has_a_socket_for_every_role_and_the_page_about_it_names_every_key() {
    let (config, settings) = explain(include_str!("../../../../packaging/agent.toml")).unwrap();
    let groups: Vec<_> = config.local.iter().map(|socket| (socket.role, socket.group.as_deref())).collect();
    let expected =
        [(Role::Admin, None), (Role::Consumer, Some("casemate-consumer")), (Role::Monitor, Some("casemate-monitor"))];
    assert_eq!(groups, expected);
    let page = include_str!("../../../../docs/service.md");
    for setting in settings {
        let key = if setting.key.ends_with(".group") { "local.….group" } else { setting.key };
        assert!(page.contains(&format!("| `{key}` |")), "{key}");
        if let (Some(value), true) =
            (&setting.value, !setting.key.ends_with(".group") && !["stick", "enforcement"].contains(&setting.key))
        {
            assert!(page.contains(&format!("| `{key}` | `{value}` |")), "{key} is {value}");
        }
    }
}
