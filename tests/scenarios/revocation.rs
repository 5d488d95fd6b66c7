//! Certificates revoked in bundles: what is revoked stays so, and a bad list takes nothing away.

use casemate_agent::transport::tls::{settings_in_force, to_remember};
use casemate_protocol::code::{Code, Explain};
use casemate_protocol::device::transport::{TransportMaterial, TransportSettings};
use casemate_protocol::encoding;
use casemate_tests::appliance::Appliance;
use casemate_tests::authority::{Algorithm, Authority, Holder, Subject, Wish, ed25519_spki};
use casemate_tests::repository::{Site, signed_at};

use crate::AGENT;
use crate::daemon::Daemon;

/// An appliance that gets bundles with other settings each time.
struct Scene {
    appliance: Appliance,
    site: Site,
    authority: Authority,
    own: Holder,
    bundles: u32,
}

impl Scene {
    fn new() -> Self {
        let (appliance, mut site) = (Appliance::new(AGENT), Site::sample());
        appliance.enrol(&mut site, "lux-001");
        let authority = Authority::with(Algorithm::Ed25519, signed_at().unix());
        let public = encoding::from_hex(&appliance.keys().tls.keyval.public).unwrap();
        let subject = Subject::Public(ed25519_spki(&public.try_into().unwrap()));
        let own = authority.issue(&Wish { subject, ..Wish::of("casemate://LU/appliance/lux-001") });
        Self { appliance, site, authority, own, bundles: 0 }
    }

    fn settings(&self, crls: Vec<Vec<u8>>) -> TransportSettings {
        TransportMaterial { crls, ..self.authority.material(&self.own, &[]) }.settings()
    }

    /// Imports a bundle with `transport` by stick, as a command of its own.
    fn import(&mut self, transport: Option<TransportSettings>) -> Code {
        self.bundles += 1;
        self.site.assignments.get_mut(&"lux-001".parse().unwrap()).unwrap().transport = transport;
        let content = format!("server_name: number-{}.example\n", self.bundles);
        self.site.reissue("group.clinics", "synapse/homeserver.yaml", content.as_bytes());
        self.appliance.import_one(&self.site.issue().bundle().bytes()).code
    }

    fn crl_days(&self) -> Option<i64> {
        self.appliance.health().certificates.unwrap().crl_days
    }

    fn is_invalid(&self) -> bool {
        self.appliance.health().reasons.contains(&Code::TransportInvalid)
    }
}

#[test]
fn a_revocation_list_never_goes_back_whatever_later_bundles_carry() {
    let mut scene = Scene::new();
    let aged = |scene: &Scene, age| vec![scene.authority.crl_aged(&[], age)];
    let settings = |scene: &Scene, age| Some(scene.settings(aged(scene, age)));
    let (older, list, newer) = (settings(&scene, 40), settings(&scene, 10), settings(&scene, 0));
    assert_eq!(scene.import(list.clone()), Code::Applied);
    let days = scene.crl_days().unwrap();
    // Every question and every import here is a process's whole life: what is remembered stands in the state.
    let none = scene.settings(Vec::new());
    for (what, settings) in [("older", older.clone()), ("none", Some(none)), ("older again", older.clone())] {
        assert_eq!(scene.import(settings), Code::Applied, "{what}");
        assert_eq!(scene.crl_days(), Some(days), "{what}");
    }
    assert_eq!(scene.import(None), Code::Applied);
    assert_eq!(scene.import(older), Code::Applied);
    assert_eq!(scene.crl_days(), Some(days), "connections taken away and given back");
    assert_eq!(scene.import(newer), Code::Applied);
    assert_eq!(scene.crl_days(), Some(days + 10));
    assert!(!scene.is_invalid());
}

#[test]
fn settings_that_cannot_be_used_leave_those_that_worked_and_sticks_are_read() {
    let mut scene = Scene::new();
    let stranger = Authority::with(Algorithm::Ed25519, signed_at().unix());
    let torn = scene.authority.crl(&[])[1..].to_vec();
    let good = scene.settings(vec![scene.authority.crl_aged(&[], 10)]);
    let bad = [
        ("no list", scene.settings(vec![torn])),
        // Of the same name.
        ("a list by somebody else", scene.settings(vec![stranger.crl(&[])])),
        ("no authority", TransportSettings { anchors: vec!["AAAA".into()], ..good.clone() }),
        ("a certificate for another key", {
            let other = scene.authority.issue(&Wish::of("casemate://LU/appliance/lux-001"));
            scene.authority.material(&other, &[]).settings()
        }),
    ];
    // From the start: there is nothing to fall back to, and nothing stops.
    for (what, settings) in &bad {
        assert_eq!(scene.import(Some(settings.clone())), Code::Applied, "{what}");
        assert!(scene.is_invalid(), "{what}");
    }
    let daemon = Daemon::start(&scene.appliance);
    drop(daemon);
    assert_eq!(scene.import(Some(good.clone())), Code::Applied);
    let known = scene.appliance.health().certificates;
    assert!(!scene.is_invalid() && known.as_ref().is_some_and(|known| known.certificate_days.is_some()));
    for (what, settings) in bad {
        assert_eq!(scene.import(Some(settings)), Code::Applied, "{what}");
        assert!(scene.is_invalid(), "{what}");
        assert_eq!(scene.appliance.health().certificates, known, "{what}: the last that worked");
    }
    assert_eq!(scene.import(Some(good)), Code::Applied);
    assert!(!scene.is_invalid());
    // What is taken away on purpose is gone.
    assert_eq!(scene.import(None), Code::Applied);
    assert!(!scene.is_invalid() && scene.appliance.health().certificates.is_none());
}

#[test]
fn of_each_authority_the_newest_list_counts_and_nobody_elses_under_its_name() {
    let now = signed_at().unix();
    let (authority, namesake) = (Authority::with(Algorithm::Ed25519, now), Authority::with(Algorithm::P256, now));
    let (own, gone) = (authority.issue(&Wish::of("casemate://LU/appliance/lux-001")), authority.issue(&Wish::of("")));
    let with = |crls: Vec<Vec<u8>>| TransportMaterial { crls, ..authority.material(&own, &[]) }.settings();
    let text = |der: &Vec<u8>| encoding::to_base64(der);
    let (older, newer) = (authority.crl_aged(&[], 9), authority.crl_aged(&[&gone], 3));
    let remembered = to_remember(&[], Some(&with(vec![newer.clone()])), Some(&with(vec![older.clone()])));
    assert_eq!(remembered, [text(&newer)]);
    let in_force = |crls, remembered: &[String]| settings_in_force(&with(crls), remembered).map(|found| found.crls);
    assert_eq!(in_force(vec![older.clone()], &remembered).unwrap(), [text(&newer)]);
    assert_eq!(in_force(vec![], &remembered).unwrap(), [text(&newer)]);
    // What the assignment carries itself is not kept twice.
    assert!(to_remember(&remembered, None, Some(&with(vec![newer.clone()]))).is_empty());
    assert_eq!(to_remember(&remembered, Some(&with(vec![older.clone()])), None), remembered);
    // A later list of the same name by another key: neither used nor remembered instead.
    let later = namesake.crl(&[]);
    assert_eq!(in_force(vec![later.clone()], &[]).unwrap_err().code(), Code::TransportInvalid);
    assert_eq!(in_force(vec![older.clone()], &[text(&later)]).unwrap(), [text(&older)]);
    let stranger = TransportSettings { anchors: Vec::new(), ..with(vec![later]) };
    assert_eq!(to_remember(&remembered, Some(&stranger), Some(&with(vec![older]))), remembered);
}
