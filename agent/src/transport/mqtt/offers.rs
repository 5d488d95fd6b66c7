//! Which bundles are announced, and which of them is fetched.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use casemate_protocol::broker::{Announce, Chunked, Scope};
use casemate_protocol::digest::Digest;

use super::pace::Pace;

/// Bundles remembered as done with.
const HAD: usize = 512;
/// Announcements remembered as resting.
const RESTING: usize = 32;
/// Pauses of a tree after a bundle from there that came to nothing, whatever it announces next.
const TREE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3600));
/// Pauses of a tree whose announcement was replaced while its bundle was fetched.
const REPLACED: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3600));
/// Pauses before what was refused is judged once more: a clock may have been wrong, a key unknown.
const REFUSED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// Time between two publications under one tree that end its pause: somebody publishes on purpose, but not always.
const PARDON: Duration = Duration::from_secs(15 * 60);
/// Time between two looks at the repository that announcements ask for.
const LOOK: Duration = Duration::from_secs(60);
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

impl Offer {
    /// Digest of the whole announcement. Two that name the same bundle and differ in its chunks are two: nobody signs
    /// them, so neither may stand for the other.
    pub(super) fn mark(&self) -> Digest {
        mark(&self.bundle)
    }
}

fn mark(bundle: &Chunked) -> Digest {
    Digest::of(&Announce::Chunked(bundle.clone()).encode())
}

/// What a tree announces.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Standing {
    /// A bundle, and the digest of its announcement.
    Bundle(Chunked, Digest),
    /// A version to be pulled.
    Pull(u64),
}

/// Why a tree has to wait, and until when.
#[derive(Debug)]
struct Patience {
    failed: Pace,
    replaced: Pace,
    until: Option<Instant>,
    pardoned: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        let (failed, replaced) = (Pace::new(TREE.0, TREE.1), Pace::new(REPLACED.0, REPLACED.1));
        Self { failed, replaced, until: None, pardoned: None }
    }
}

/// What is announced, one announcement a tree: a newer one takes its place, whatever version either claims. Nobody signs
/// announcements, so none can shut out those of other trees. Their timestamps order them and mean no more: a bundle
/// that resets a floor a thief has raised is below what is in force.
#[derive(Debug, Default)]
pub(super) struct Offers {
    announced: BTreeMap<Scope, Standing>,
    trees: BTreeMap<Scope, Patience>,
    /// Bundles that are here or behind us, newest last. Only of such whose bytes were hashed.
    had: VecDeque<Digest>,
    /// Announcements whose bundle was refused.
    resting: VecDeque<(Digest, Pace, Instant)>,
    /// Versions to be pulled that somebody was told of.
    told: BTreeMap<Scope, u64>,
    /// When the next look may be asked for.
    look: Option<Instant>,
    /// Announcements of an earlier connection that this one has not shown, and until when it may.
    doubted: BTreeSet<Scope>,
    doubt: Option<Instant>,
}

impl Offers {
    /// Bundles known from before this process are done with.
    pub(super) fn remembering(had: impl IntoIterator<Item = Digest>) -> Self {
        let mut offers = Self::default();
        had.into_iter().for_each(|bundle| offers.had(bundle));
        offers
    }

    /// A connection begins that shows the announcements of these trees: what it does not show in time is gone.
    pub(super) fn begin(&mut self, scopes: &[Scope], now: Instant) {
        self.announced.retain(|scope, _| scopes.contains(scope));
        self.trees.retain(|scope, _| scopes.contains(scope));
        self.told.retain(|scope, _| scopes.contains(scope));
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

    /// `announce` stands under `scope` now. What is published while the connection stands ends the tree's pause, now
    /// and then: somebody did so on purpose.
    pub(super) fn announced(&mut self, scope: Scope, announce: Announce, published: bool, now: Instant) {
        self.doubted.remove(&scope);
        let standing = match announce {
            Announce::Chunked(bundle) => {
                let mark = mark(&bundle);
                Standing::Bundle(bundle, mark)
            }
            Announce::Pull { timestamp } => Standing::Pull(timestamp.get()),
        };
        if let (Standing::Bundle(_, mark), true) = (&standing, published)
            && self.waits(&scope, mark, now)
        {
            let tree = self.trees.entry(scope.clone()).or_default();
            if tree.pardoned.is_none_or(|pardoned| now.saturating_duration_since(pardoned) >= PARDON) {
                tree.pardoned = Some(now);
                tree.until = None;
                self.resting.iter_mut().filter(|(resting, ..)| resting == mark).for_each(|(_, _, until)| *until = now);
            }
        }
        self.announced.insert(scope, standing);
    }

    /// Nothing stands under `scope` any more.
    pub(super) fn withdrawn(&mut self, scope: &Scope) {
        self.announced.remove(scope);
    }

    /// Whether this very bundle is still announced there.
    pub(super) fn stands(&self, offer: &Offer) -> bool {
        matches!(self.announced.get(&offer.scope), Some(Standing::Bundle(bundle, _)) if *bundle == offer.bundle)
    }

    /// The newest bundle worth fetching now.
    pub(super) fn best(&self, now: Instant) -> Option<Offer> {
        let bundles = self.announced.iter().filter_map(|(scope, standing)| match standing {
            Standing::Bundle(bundle, mark) if !self.had.contains(&bundle.bundle) && !self.waits(scope, mark, now) => {
                Some((scope, bundle))
            }
            _ => None,
        });
        let (scope, bundle) = bundles.max_by_key(|(_, bundle)| bundle.timestamp)?;
        Some(Offer { scope: scope.clone(), bundle: bundle.clone() })
    }

    /// Whether there is something to be pulled of which nobody was told.
    pub(super) fn take_pull(&mut self, now: Instant) -> bool {
        if self.look.is_some_and(|earliest| earliest > now) {
            return false;
        }
        let mut news = false;
        for (scope, version) in untold(&self.announced, &self.told) {
            self.told.insert(scope, version);
            news = true;
        }
        self.look = news.then_some(now + LOOK);
        news
    }

    /// A bundle from there, hashed, is here or behind us: never again.
    pub(super) fn done(&mut self, offer: &Offer) {
        self.resting.retain(|(resting, ..)| *resting != offer.mark());
        self.trees.remove(&offer.scope);
        self.had(offer.bundle.bundle);
    }

    /// Not again; yet the tree announces what is of no use.
    pub(super) fn outdated(&mut self, offer: &Offer, now: Instant) {
        self.had(offer.bundle.bundle);
        self.failed(offer, now);
    }

    fn had(&mut self, bundle: Digest) {
        self.had.retain(|had| *had != bundle);
        self.had.push_back(bundle);
        if self.had.len() > HAD {
            self.had.pop_front();
        }
    }

    /// What is done with, oldest first.
    pub(super) fn all_had(&self) -> impl Iterator<Item = &Digest> {
        self.had.iter()
    }

    /// Not now: it could not be fetched, or not be imported. Its tree waits, whatever it announces.
    pub(super) fn failed(&mut self, offer: &Offer, now: Instant) {
        let tree = self.trees.entry(offer.scope.clone()).or_default();
        tree.until = Some(tree.failed.again(now));
    }

    /// It was refused: its tree waits, and this announcement longer.
    pub(super) fn refused(&mut self, offer: &Offer, now: Instant) {
        self.failed(offer, now);
        let mark = offer.mark();
        let found = self.resting.iter().position(|(resting, ..)| *resting == mark);
        let known = found.and_then(|index| self.resting.remove(index)).map(|(_, pace, _)| pace);
        let mut pace = known.unwrap_or_else(|| Pace::new(REFUSED.0, REFUSED.1));
        let until = pace.again(now);
        self.resting.push_back((mark, pace, until));
        if self.resting.len() > RESTING {
            self.resting.pop_front();
        }
    }

    /// It was given up because its tree announces something else: one that does so again and again waits.
    pub(super) fn replaced(&mut self, offer: &Offer, now: Instant) {
        let tree = self.trees.entry(offer.scope.clone()).or_default();
        let until = tree.replaced.again(now);
        tree.until = tree.until.max(Some(until));
    }

    /// Whether what stands under `scope` is not to be fetched now.
    pub(super) fn rests(&self, scope: &Scope, now: Instant) -> bool {
        matches!(self.announced.get(scope), Some(Standing::Bundle(_, mark)) if self.waits(scope, mark, now))
    }

    fn waits(&self, scope: &Scope, mark: &Digest, now: Instant) -> bool {
        self.until(scope, mark).is_some_and(|until| until > now)
    }

    fn until(&self, scope: &Scope, mark: &Digest) -> Option<Instant> {
        let own = self.resting.iter().find(|(resting, ..)| resting == mark).map(|(_, _, until)| *until);
        own.max(self.trees.get(scope).and_then(|tree| tree.until))
    }

    /// When something is due.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let waiting = self.announced.iter().filter_map(|(scope, standing)| match standing {
            Standing::Bundle(bundle, mark) if !self.had.contains(&bundle.bundle) => self.until(scope, mark),
            _ => None,
        });
        let look = self.look.filter(|_| !untold(&self.announced, &self.told).is_empty());
        waiting.chain(look).filter(|until| *until > now).chain(self.doubt).min()
    }
}

fn untold(announced: &BTreeMap<Scope, Standing>, told: &BTreeMap<Scope, u64>) -> Vec<(Scope, u64)> {
    let pulls = announced.iter().filter_map(|(scope, standing)| match standing {
        Standing::Pull(version) if told.get(scope) != Some(version) => Some((scope.clone(), *version)),
        _ => None,
    });
    pulls.collect()
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

    fn offer(group: &str, version: u64) -> Offer {
        Offer { scope: scope(group), bundle: bundle(version) }
    }

    fn offers(versions: &[(&str, u64)]) -> Offers {
        let mut offers = Offers::default();
        for (group, version) in versions {
            offers.announced(scope(group), Announce::Chunked(bundle(*version)), false, Instant::now());
        }
        offers
    }

    fn best(offers: &Offers, now: Instant) -> Option<u64> {
        offers.best(now).map(|offer| offer.bundle.timestamp.get())
    }

    #[test]
    fn the_newest_announcement_comes_first_and_an_older_one_comes_too() {
        let now = Instant::now();
        let mut offers = offers(&[("a", 4), ("b", 6), ("c", 5)]);
        for version in [6, 5, 4] {
            let best = offers.best(now).unwrap();
            assert_eq!(best.bundle.timestamp.get(), version);
            offers.done(&best);
        }
        assert_eq!(best(&offers, now), None);
    }

    #[test]
    fn an_absurd_announcement_shuts_out_nobody() {
        let now = Instant::now();
        let last = i64::MAX.unsigned_abs();
        let mut offers = offers(&[("a", last)]);
        assert_eq!(best(&offers, now), Some(last));
        offers.failed(&offer("a", last), now);
        offers.announced(scope("b"), Announce::Chunked(bundle(4)), false, now);
        assert_eq!(best(&offers, now), Some(4));
    }

    #[test]
    fn another_announcement_of_the_same_bundle_stands_for_itself_and_for_its_tree() {
        let now = Instant::now();
        let mut offers = offers(&[("a", 4), ("b", 4)]);
        let false_one = Chunked { chunks: vec![Digest::of(b"garbage")], ..bundle(4) };
        offers.announced(scope("a"), Announce::Chunked(false_one.clone()), true, now);
        offers.refused(&Offer { scope: scope("a"), bundle: false_one }, now);
        assert_eq!(offers.best(now), Some(offer("b", 4)));
        // The very same text elsewhere, with chunks that never come.
        offers.announced(scope("a"), Announce::Chunked(bundle(4)), true, now);
        offers.failed(&offer("a", 4), now);
        assert_eq!(offers.best(now), Some(offer("b", 4)));
    }

    #[test]
    fn a_tree_that_failed_waits_longer_each_time_whatever_it_announces() {
        let mut now = Instant::now();
        let mut offers = offers(&[("a", 4)]);
        for (round, longest) in [75, 150, 300, 600, 1200, 2400, 4500, 4500].into_iter().enumerate() {
            let version = 4 + round as u64;
            offers.failed(&offer("a", version), now);
            offers.announced(scope("a"), Announce::Chunked(bundle(version + 1)), false, now);
            assert_eq!(best(&offers, now), None);
            let until = offers.deadline(now).unwrap();
            assert!(until - now <= Duration::from_secs(longest), "{longest}");
            now = until;
            assert_eq!(best(&offers, now), Some(version + 1));
        }
    }

    #[test]
    fn publishing_ends_a_pause_but_not_always() {
        let now = Instant::now();
        let mut offers = offers(&[("a", 4)]);
        let announce = |version| Announce::Chunked(bundle(version));
        offers.failed(&offer("a", 4), now);
        offers.announced(scope("a"), announce(4), false, now);
        assert_eq!(best(&offers, now), None, "a retained one says nothing new");
        offers.announced(scope("a"), announce(4), true, now);
        assert_eq!(best(&offers, now), Some(4));
        offers.refused(&offer("a", 4), now);
        for version in [4, 5] {
            offers.announced(scope("a"), announce(version), true, now + PARDON / 20);
            assert_eq!(best(&offers, now + PARDON / 20), None);
        }
        offers.refused(&offer("a", 4), now + PARDON);
        offers.announced(scope("a"), announce(4), true, now + PARDON);
        assert_eq!(best(&offers, now + PARDON), Some(4));
    }

    #[test]
    fn what_was_refused_is_judged_again_after_a_day_at_most_and_what_follows_it_sooner() {
        let mut now = Instant::now();
        let mut offers = offers(&[("a", 4)]);
        for _ in 0..14 {
            offers.refused(&offer("a", 4), now);
            let until = offers.deadline(now).unwrap();
            assert!(until - now <= REFUSED.1 * 5 / 4);
            now = until;
            assert_eq!(best(&offers, now), Some(4));
        }
        offers.refused(&offer("a", 4), now);
        assert_eq!(best(&offers, now + TREE.1 * 5 / 4), None);
        offers.announced(scope("a"), Announce::Chunked(bundle(5)), false, now);
        assert_eq!(best(&offers, now + TREE.1 * 5 / 4), Some(5));
    }

    #[test]
    fn a_tree_that_replaces_what_it_announces_again_and_again_waits() {
        let mut now = Instant::now();
        let mut offers = offers(&[("a", 4)]);
        for _ in 0..16 {
            offers.replaced(&offer("a", 4), now);
            now = offers.deadline(now).unwrap();
        }
        offers.replaced(&offer("a", 4), now);
        assert!(offers.deadline(now).unwrap() - now >= REPLACED.1 * 3 / 4);
    }

    #[test]
    fn what_was_had_is_not_fetched_again_and_memory_is_bounded() {
        let now = Instant::now();
        let mut offers = offers(&[("a", 4)]);
        offers.done(&offer("a", 4));
        for published in [false, true] {
            offers.announced(scope("a"), Announce::Chunked(bundle(4)), published, now);
            assert_eq!(best(&offers, now), None);
        }
        let other = Chunked { timestamp: Version::new(9).unwrap(), ..bundle(4) };
        offers.announced(scope("a"), Announce::Chunked(other), true, now);
        assert_eq!(best(&offers, now), None, "its bytes are the same");
        for version in 5..1000 {
            offers.outdated(&offer("a", version), now);
            offers.refused(&offer("a", version + 1000), now);
        }
        assert_eq!((offers.had.len(), offers.resting.len(), offers.trees.len()), (HAD, RESTING, 1));
    }

    #[test]
    fn what_a_new_connection_does_not_show_any_more_is_forgotten() {
        let now = Instant::now();
        let mut offers = offers(&[("a", 4), ("b", 5)]);
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
    fn pulling_is_asked_for_once_a_version_and_once_a_minute() {
        let now = Instant::now();
        let mut offers = offers(&[]);
        let pull = |version| Announce::Pull { timestamp: Version::new(version).unwrap() };
        offers.announced(scope("a"), pull(4), false, now);
        assert!(offers.take_pull(now));
        offers.announced(scope("a"), pull(4), true, now);
        assert!(!offers.take_pull(now + LOOK));
        offers.announced(scope("a"), pull(3), true, now);
        assert!(offers.take_pull(now + LOOK), "an older one may be what resets a floor");
        offers.announced(scope("a"), pull(5), true, now);
        assert!(!offers.take_pull(now + LOOK));
        assert_eq!(offers.deadline(now + LOOK), Some(now + LOOK * 2));
        assert!(offers.take_pull(now + LOOK * 2));
    }
}
