//! Which bundles are announced, and which of them is fetched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use casemate_protocol::broker::{Announce, Chunked, Scope};
use casemate_protocol::digest::Digest;

use super::pace::Pace;

/// Bundles remembered as done with, or as resting.
const MEMORY: usize = 32;
/// Pauses between two attempts at a bundle whose chunks are wrong or missing.
const PAUSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// How long a new connection has to show what an earlier one showed.
const DOUBT: Duration = Duration::from_secs(60);

/// A bundle that is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// In whose tree.
    pub(super) scope: Scope,
    /// What.
    pub(super) bundle: Chunked,
}

/// What is announced, one announcement a tree: a newer one takes its place, whatever version either claims. Nobody signs
/// announcements, so none can shut out those that follow.
#[derive(Debug, Default)]
pub(super) struct Offers {
    announced: BTreeMap<Scope, Announce>,
    /// Version of the timestamp in force here.
    in_force: Option<u64>,
    /// Bundles that are here or were refused, newest last.
    had: VecDeque<Digest>,
    resting: VecDeque<(Digest, Pace, Instant)>,
    /// Versions to be pulled that somebody was told of.
    told: BTreeMap<Scope, u64>,
    /// Announcements of an earlier connection that this one has not shown, and until when it may.
    doubted: BTreeSet<Scope>,
    doubt: Option<Instant>,
}

impl Offers {
    /// Bundles known from before this process are done with.
    pub(super) fn remembering(had: impl IntoIterator<Item = Digest>) -> Self {
        let mut offers = Self::default();
        had.into_iter().for_each(|bundle| offers.done(bundle));
        offers
    }

    /// The version in force here.
    pub(super) fn stand_at(&mut self, version: u64) {
        self.in_force = Some(version);
    }

    /// A connection begins that shows the announcements of these trees: what it does not show in time is gone.
    pub(super) fn begin(&mut self, scopes: &[Scope], now: Instant) {
        self.announced.retain(|scope, _| scopes.contains(scope));
        self.doubted = self.announced.keys().cloned().collect();
        self.doubt = (!self.doubted.is_empty()).then_some(now + DOUBT);
    }

    /// Forgets what was doubted long enough.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.doubt.take_if(|until| *until <= now).is_some() {
            for scope in std::mem::take(&mut self.doubted) {
                self.announced.remove(&scope);
            }
        }
    }

    /// `announce` stands under `scope` now. A bundle that rests, or
    /// was refused, is tried again when it is published again: somebody did so on purpose.
    pub(super) fn announced(&mut self, scope: Scope, announce: Announce, published: bool, now: Instant) {
        self.doubted.remove(&scope);
        if let (Announce::Chunked(bundle), true) = (&announce, published) {
            self.had.retain(|had| *had != bundle.bundle);
            let rests = self.resting.iter_mut().find(|(resting, ..)| *resting == bundle.bundle);
            if let Some((_, _, until)) = rests {
                *until = now;
            }
        }
        self.announced.insert(scope, announce);
    }

    /// Nothing stands under `scope` any more.
    pub(super) fn withdrawn(&mut self, scope: &Scope) {
        self.announced.remove(scope);
    }

    /// Whether this very bundle is still announced there.
    pub(super) fn stands(&self, offer: &Offer) -> bool {
        matches!(self.announced.get(&offer.scope), Some(Announce::Chunked(bundle)) if *bundle == offer.bundle)
    }

    /// The newest bundle worth fetching now.
    pub(super) fn best(&self, now: Instant) -> Option<Offer> {
        // Until it is known what is in force, nothing is.
        let in_force = self.in_force?;
        let worth = |bundle: &Chunked| {
            bundle.timestamp.get() > in_force && !self.had.contains(&bundle.bundle) && !self.rests(&bundle.bundle, now)
        };
        let chunked = self.announced.iter().filter_map(|(scope, announce)| match announce {
            Announce::Chunked(bundle) if worth(bundle) => Some((scope, bundle)),
            _ => None,
        });
        let (scope, bundle) = chunked.max_by_key(|(_, bundle)| bundle.timestamp)?;
        Some(Offer { scope: scope.clone(), bundle: bundle.clone() })
    }

    /// Whether there is something newer to be pulled of which nobody was told.
    pub(super) fn take_pull(&mut self) -> bool {
        let Some(in_force) = self.in_force else { return false };
        let mut news = false;
        for (scope, announce) in &self.announced {
            if let Announce::Pull { timestamp } = announce
                && timestamp.get() > in_force
                && self.told.get(scope) != Some(&timestamp.get())
            {
                self.told.insert(scope.clone(), timestamp.get());
                news = true;
            }
        }
        news
    }

    /// Not again: it is here, or was refused.
    pub(super) fn done(&mut self, bundle: Digest) {
        self.resting.retain(|(resting, ..)| *resting != bundle);
        self.had.retain(|had| *had != bundle);
        self.had.push_back(bundle);
        if self.had.len() > MEMORY {
            self.had.pop_front();
        }
    }

    /// What is done with, oldest first.
    pub(super) fn had(&self) -> impl Iterator<Item = &Digest> {
        self.had.iter()
    }

    /// Not now: it could not be fetched, or not be imported.
    pub(super) fn rest(&mut self, bundle: Digest, now: Instant) {
        let found = self.resting.iter().position(|(resting, ..)| *resting == bundle);
        let known = found.and_then(|index| self.resting.remove(index)).map(|(_, pace, _)| pace);
        let mut pace = known.unwrap_or_else(|| Pace::new(PAUSES.0, PAUSES.1));
        let until = pace.again(now);
        self.resting.push_back((bundle, pace, until));
        if self.resting.len() > MEMORY {
            self.resting.pop_front();
        }
    }

    /// Whether `bundle` is not to be fetched now.
    pub(super) fn rests(&self, bundle: &Digest, now: Instant) -> bool {
        self.resting.iter().any(|(resting, _, until)| resting == bundle && *until > now)
    }

    /// When something is due.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let announced = |bundle: &Digest| {
            self.announced.values().any(|announce| matches!(announce, Announce::Chunked(one) if one.bundle == *bundle))
        };
        let resting = self.resting.iter().filter(|(bundle, _, until)| *until > now && announced(bundle));
        resting.map(|(_, _, until)| *until).chain(self.doubt).min()
    }
}

#[cfg(test)]
mod tests {
    use casemate_protocol::tuf::role::Version;

    use super::*;

    fn scope(group: &str) -> Scope {
        Scope::Group(group.parse().unwrap())
    }

    fn bundle(version: u64) -> Chunked {
        let digest = Digest::of(&version.to_be_bytes());
        Chunked::of(digest, 1, Version::new(version).unwrap(), vec![Digest::of(b"x")]).unwrap()
    }

    fn offers(in_force: u64, versions: &[(&str, u64)]) -> Offers {
        let mut offers = Offers::default();
        offers.stand_at(in_force);
        for (group, version) in versions {
            offers.announced(scope(group), Announce::Chunked(bundle(*version)), false, Instant::now());
        }
        offers
    }

    fn best(offers: &Offers, now: Instant) -> Option<u64> {
        offers.best(now).map(|offer| offer.bundle.timestamp.get())
    }

    #[test]
    fn the_newest_announcement_wins_and_what_is_in_force_is_not_fetched_again() {
        let now = Instant::now();
        assert_eq!(best(&offers(3, &[("a", 4), ("b", 6), ("c", 5)]), now), Some(6));
        assert_eq!(best(&offers(6, &[("a", 4), ("b", 6), ("c", 5)]), now), None);
        assert_eq!(best(&Offers::default(), now), None);
    }

    #[test]
    fn an_absurd_announcement_shuts_out_nobody() {
        let now = Instant::now();
        let last = i64::MAX.unsigned_abs();
        let mut offers = offers(3, &[("a", last)]);
        assert_eq!(best(&offers, now), Some(last));
        offers.rest(bundle(last).bundle, now);
        offers.announced(scope("b"), Announce::Chunked(bundle(4)), true, now);
        assert_eq!(best(&offers, now), Some(4));
        offers.announced(scope("a"), Announce::Chunked(bundle(5)), true, now);
        assert_eq!(best(&offers, now), Some(5));
    }

    #[test]
    fn a_bundle_that_failed_rests_longer_each_time_and_is_tried_at_once_when_published_again() {
        let mut now = Instant::now();
        let mut offers = offers(3, &[("a", 4)]);
        for longest in [75, 150, 300, 600, 1200, 2400, 4500, 4500] {
            offers.rest(bundle(4).bundle, now);
            assert_eq!(best(&offers, now), None);
            let until = offers.deadline(now).unwrap();
            assert!(until - now <= Duration::from_secs(longest), "{longest}");
            now = until;
            assert_eq!(best(&offers, now), Some(4));
        }
        offers.rest(bundle(4).bundle, now);
        offers.announced(scope("a"), Announce::Chunked(bundle(4)), false, now);
        assert_eq!(best(&offers, now), None, "a retained one says nothing new");
        offers.announced(scope("a"), Announce::Chunked(bundle(4)), true, now);
        assert_eq!(best(&offers, now), Some(4));
    }

    #[test]
    fn what_was_had_is_not_fetched_again_and_memory_is_bounded() {
        let now = Instant::now();
        let mut offers = offers(3, &[("a", 4)]);
        offers.done(bundle(4).bundle);
        assert_eq!(best(&offers, now), None);
        offers.announced(scope("a"), Announce::Chunked(bundle(4)), false, now);
        assert_eq!(best(&offers, now), None, "a retained one says nothing new");
        offers.announced(scope("a"), Announce::Chunked(bundle(4)), true, now);
        assert_eq!(best(&offers, now), Some(4));
        for version in 5..500 {
            offers.done(bundle(version).bundle);
            offers.rest(bundle(version + 1000).bundle, now);
        }
        assert_eq!((offers.had.len(), offers.resting.len()), (MEMORY, MEMORY));
    }

    #[test]
    fn what_a_new_connection_does_not_show_any_more_is_forgotten() {
        let now = Instant::now();
        let mut offers = offers(3, &[("a", 4), ("b", 5)]);
        offers.begin(&[scope("a"), scope("b")], now);
        offers.announced(scope("a"), Announce::Chunked(bundle(4)), false, now);
        offers.settle(now);
        assert_eq!(best(&offers, now), Some(5));
        let later = offers.deadline(now).unwrap();
        offers.settle(later);
        assert_eq!(best(&offers, later), Some(4));
        offers.begin(&[scope("b")], later);
        assert_eq!(best(&offers, later), None, "no longer in that group");
    }

    #[test]
    fn pulling_is_asked_for_once_a_version() {
        let mut offers = offers(3, &[]);
        let pull = |version| Announce::Pull { timestamp: Version::new(version).unwrap() };
        offers.announced(scope("a"), pull(3), false, Instant::now());
        assert!(!offers.take_pull());
        offers.announced(scope("a"), pull(4), false, Instant::now());
        assert!(offers.take_pull());
        offers.announced(scope("a"), pull(4), true, Instant::now());
        assert!(!offers.take_pull());
    }
}
