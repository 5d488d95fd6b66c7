use super::*;

fn parse(text: &str) -> Result<Group, SiteError> {
    Group::parse(&"clinics".parse().unwrap(), &format!("format = 1\nsummary = \"March\"\n{text}"))
}

#[test]
fn a_full_bundle_is_read() {
    let group = parse(
        "[apply]\nwindow = \"Sun 02:00-05:00\"\ndeadline = \"10m\"\nconfirm = [\"consumers\"]\n\
         [[file]]\npath = \"synapse/homeserver.yaml\"\nfrom = \"files/h.in\"\nrender = true\nconsumer = \"synapse\"\n\
         [[file]]\npath = \"a.conf\"\n\
         [consumer.synapse]\nunit = \"matrix-synapse.service\"\non_change = \"restart\"\nready = \"http://127.0.0.1:8008/health\"\n",
    )
    .unwrap();
    let files: Vec<_> = group.files.iter().map(|file| (file.path.as_str(), file.from.as_str(), file.line)).collect();
    assert_eq!(files, [("a.conf", "files/a.conf", 13), ("synapse/homeserver.yaml", "files/h.in", 8)]);
    assert_eq!(group.apply.deadline.as_deref(), Some("10m"));
}

#[test]
fn every_field_is_checked_where_it_stands() {
    for (text, expected) in [
        ("[[file]]\npath = \"../x\"\n", "4: \"../x\" is no file path"),
        ("[[file]]\npath = \"a\"\nfrom = \"../../etc/passwd\"\n", "5: \"../../etc/passwd\" leaves the group's folder"),
        ("[[file]]\npath = \"a\"\nfrom = \"/etc/passwd\"\n", "5: \"/etc/passwd\" leaves the group's folder"),
        ("[[file]]\npath = \"a\"\n[[file]]\npath = \"a\"\n", "6: a is listed twice, line 4"),
        ("[[file]]\npath = \"a\"\n[[file]]\npath = \"a/b\"\n", "6: a/b and a cannot both be files, line 4"),
        (
            "[[file]]\npath = \"a\"\nconsumer = \"synaps\"\n[consumer.synapse]\nunit = \"s.service\"\non_change = \"none\"\n",
            "5: consumer synaps is not defined; did you mean \"synapse\"?",
        ),
        ("[[file]]\npath = \"a\"\nmode = \"0644\"\n", "5: unknown field `mode`"),
        ("[[file]]\nfrom = \"a\"\n", "3: missing field `path`"),
        ("[apply]\nwindow = \"Sunday 02:00\"\n", "4: \"Sunday 02:00\" is no window"),
        ("[apply]\nwindow = \"Sun 25:00-26:00\"\n", "4: \"Sun 25:00-26:00\" is no window"),
        ("[apply]\ndeadline = \"ten\"\n", "4: apply.deadline: \"ten\" is no time between"),
        ("[apply]\nconfirm = [\"consumer\"]\n", "4: apply.confirm: \"consumer\" cannot confirm, \"consumers\" and"),
        (
            "[consumer.a]\nunit = \"a; reboot\"\non_change = \"none\"\n",
            "4: consumer a: \"a; reboot\" is no name of a systemd unit",
        ),
        (
            "[consumer.a]\nunit = \"a.service\"\non_change = \"restrat\"\n",
            "5: \"restrat\" is no reaction; did you mean \"restart\"?",
        ),
        (
            "[consumer.a]\nunit = \"a.service\"\non_change = \"none\"\nready = \"http://example.org/\"\n",
            "6: \"http://example.org/\" is no http:// URL of a loopback address",
        ),
        (
            "[consumer.a]\nunit = \"a.service\"\non_change = \"none\"\nready = \"http://127.0.0.1.example.org/\"\n",
            "6: \"http://127.0.0.1.example.org/\" is no http:// URL of a loopback address",
        ),
        (
            "[apply]\nconfirm = [\"consumers\"]\n",
            "4: apply.confirm: consumers shall confirm and the manifest declares none",
        ),
        ("[apply]\nconfirm = [\"headquarters\"]\n", "4: apply.confirm: \"headquarters\" cannot confirm"),
        ("[apply]\nhold = \"2d\"\n", "4: apply.hold: \"2d\" is no time between"),
        ("[[probe]]\ntcp = \"10.0.0.1:80\"\n", "3: \"10.0.0.1:80\" is no loopback address with a port"),
        ("[[probe]]\ntcp = \"127.0.0.1:1\"\nunit = \"a.service\"\n", "3: a probe asks exactly one thing"),
        ("[consumer.a]\non_change = \"reload\"\n", "4: there is no unit to change"),
        (
            "[apply]\nhold = \"20s\"\ndeadline = \"10s\"\n[[probe]]\nunit = \"a.service\"\n",
            "2: apply.hold (20 s) does not fit into apply.deadline (10 s)",
        ),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(&format!("groups/clinics/bundle.toml:{expected}")), "{error}");
    }
}

#[test]
fn the_summary_is_one_line_for_the_signers() {
    let group = |summary: &str| Group::parse(&"a".parse().unwrap(), &format!("format = 1\nsummary = {summary}\n"));
    for summary in ["\"\"", "\" \"", "\"two\\nlines\"", &format!("{:?}", "x".repeat(201))] {
        assert!(
            group(summary).unwrap_err().to_string().starts_with("groups/a/bundle.toml:2: the summary"),
            "{summary}"
        );
    }
}
