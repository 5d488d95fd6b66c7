//! The files a new site starts with; each explains itself.

use std::collections::BTreeMap;

use casemate_protocol::device::id::Jurisdiction;
use casemate_protocol::tuf::root::PersonToken;

/// Relative path and content.
pub(super) fn files(jurisdiction: Jurisdiction, names: &BTreeMap<PersonToken, String>) -> Vec<(String, String)> {
    let persons: String = names.iter().map(|(token, name)| format!("{} = {name:?}\n", token.0)).collect();
    let site = SITE.replace("@JURISDICTION@", &jurisdiction.to_string()).replace("@PERSONS@", &persons);
    [
        ("site.toml", site.as_str()),
        ("appliances.csv", APPLIANCES),
        ("groups/clinics/bundle.toml", BUNDLE),
        ("groups/clinics/files/motd.in", MOTD),
        ("groups/clinics/values/clinics.toml", VALUES),
        (".gitignore", IGNORE),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into()
}

const SITE: &str = r#"# What holds for the whole site. docs/site.md explains every line.
format       = 1
jurisdiction = "@JURISDICTION@"     # bound in the root; a site never moves

# Days from signing to expiry. What runs on an appliance keeps running after that; nothing new is applied.
[expiry_days]
root      = 400
targets   = 400
snapshot  = 400
timestamp = 90

# Who hides behind the tokens in the root. This stays here; appliances see tokens only.
[persons]
@PERSONS@"#;

const APPLIANCES: &str = "\
# One line an appliance; `casemate appliance enrol` adds them. Groups are separated by spaces.
id,serial,groups,boundary
";

const BUNDLE: &str = r#"# What every appliance in the group `clinics` gets. Rename the folder to rename the group.
format  = 1
summary = "First bundle: a message of the day"     # what signers are shown

[[file]]
path   = "motd"                # where it stands on the appliance, below current/groups/clinics/
from   = "files/motd.in"       # where it is here; files/<path> unless given
render = true                  # replace {{ name }} with what values/ says
"#;

const MOTD: &str = "This appliance belongs to {{ organisation }}.\n";

const VALUES: &str = "\
# Values for every appliance of the group; values/<appliance>.toml beside this overrides them for one.
organisation = \"the clinics\"
";

const IGNORE: &str = ".plan/\nrepository/.lock\n*.key\n";
