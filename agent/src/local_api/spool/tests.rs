use tempfile::TempDir;

use super::*;

const BUNDLE: &[u8] = b"what a bundle holds";

fn made() -> (TempDir, Spool) {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(&folder.path().join("push"), 0).unwrap();
    (folder, spool)
}

fn somebody() -> CertificateName {
    "casemate://LU/publisher/pub-1".parse().unwrap()
}

fn resume(spool: &Spool, offset: u64) -> Result<Unfinished, SpoolError> {
    spool.resume(&somebody(), &Digest::of(BUNDLE), offset, BUNDLE.len() as u64)
}

#[test]
fn an_upload_goes_on_where_it_was_left_also_after_a_restart() {
    let (folder, spool) = made();
    resume(&spool, 0).unwrap().append(&BUNDLE[..7]).unwrap();
    let spool = Spool::open(&folder.path().join("push"), 0).unwrap();
    assert_eq!(spool.offset(&somebody(), &Digest::of(BUNDLE)).unwrap(), Some((7, BUNDLE.len() as u64)));
    let mut upload = resume(&spool, 7).unwrap();
    upload.append(&BUNDLE[7..]).unwrap();
    assert!(upload.is_whole());
    upload.check().unwrap();
    assert_eq!(fs::read(upload.path()).unwrap(), BUNDLE);
}

#[test]
fn bytes_that_do_not_go_on_where_it_was_left_are_refused() {
    let (_folder, spool) = made();
    assert!(matches!(resume(&spool, 3), Err(SpoolError::Offset { found: 0, asked: 3 })));
    resume(&spool, 0).unwrap().append(&BUNDLE[..7]).unwrap();
    for offset in [0, 6, 8] {
        assert!(matches!(resume(&spool, offset), Err(SpoolError::Offset { found: 7, .. })), "{offset}");
    }
    let longer = spool.resume(&somebody(), &Digest::of(BUNDLE), 7, 99);
    assert!(matches!(longer, Err(SpoolError::Length { known: 19, asked: 99 })));
    assert!(matches!(resume(&spool, 7).unwrap().append(&[0; 13]), Err(SpoolError::TooLong(19))));
}

#[test]
fn two_cannot_send_the_same_upload_at_once_and_nobody_touches_anothers() {
    let (_folder, spool) = made();
    let first = resume(&spool, 0).unwrap();
    assert!(matches!(resume(&spool, 0), Err(SpoolError::Busy)));
    let other = "casemate://LU/publisher/pub-2".parse().unwrap();
    let mut theirs = spool.resume(&other, &Digest::of(BUNDLE), 0, BUNDLE.len() as u64).unwrap();
    theirs.append(b"something else").unwrap();
    drop(first);
    assert_eq!(resume(&spool, 0).unwrap().received(), 0);
}

#[test]
fn other_bytes_than_announced_are_thrown_away() {
    let (_folder, spool) = made();
    let mut upload = resume(&spool, 0).unwrap();
    upload.append(&[0; 19]).unwrap();
    assert!(matches!(upload.check(), Err(SpoolError::Digest { .. })));
    drop(upload);
    assert_eq!(spool.offset(&somebody(), &Digest::of(BUNDLE)).unwrap(), None);
}

#[test]
fn what_the_reserve_forbids_is_not_begun() {
    let (folder, _) = made();
    let spool = Spool::open(folder.path(), u64::MAX).unwrap();
    assert!(matches!(resume(&spool, 0), Err(SpoolError::Full { wanted: 19, reserve: u64::MAX, .. })));
    assert_eq!(spool.offset(&somebody(), &Digest::of(BUNDLE)).unwrap(), None);
    let spool = Spool::open(folder.path(), 0).unwrap();
    let endless = spool.resume(&somebody(), &Digest::of(BUNDLE), 0, u64::MAX - 1);
    assert!(matches!(endless, Err(SpoolError::Full { .. })));
}

fn begin(spool: &Spool, whose: &str, number: u8) -> Result<Unfinished, SpoolError> {
    spool.resume(&format!("casemate://LU/{whose}").parse().unwrap(), &Digest::of(&[number]), 0, 9)
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path().join("push")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_certificate_has_two_bundles_here_and_a_third_takes_the_place_of_one_it_left() {
    let (folder, spool) = made();
    let first = begin(&spool, "publisher/a", 0).unwrap();
    begin(&spool, "publisher/a", 1).unwrap();
    begin(&spool, "publisher/a-b", 0).unwrap();
    let left = begin(&spool, "publisher/a", 2).unwrap();
    let name = |number: u8| format!("publisher.a.{}.9", Digest::of(&[number]));
    let lying = names(&folder);
    assert!(lying.contains(&name(0)) && !lying.contains(&name(1)) && lying.contains(&name(2)), "{lying:?}");
    // Both are being received now.
    assert!(matches!(begin(&spool, "publisher/a", 3), Err(SpoolError::TooMany(MOST))));
    drop((first, left));
    let posts = [(); MOST].map(|()| spool.post(&"casemate://LU/publisher/a".parse().unwrap(), 9).unwrap());
    assert!(matches!(begin(&spool, "publisher/a", 3), Err(SpoolError::TooMany(MOST))));
    drop(posts);
    begin(&spool, "publisher/a", 3).unwrap();
}

#[test]
fn all_publishers_together_leave_operators_their_places_and_abandoned_uploads_make_room() {
    let (folder, spool) = made();
    for number in 0..8 {
        begin(&spool, &format!("publisher/p-{}", number / 2), number).unwrap();
    }
    assert!(matches!(begin(&spool, "publisher/p-9", 9), Err(SpoolError::TooMany(MOST_OF_KIND))));
    begin(&spool, "operator/ops-1", 9).unwrap();
    let abandoned = folder.path().join(format!("push/publisher.p-0.{}.9", Digest::of(&[0])));
    let long_ago = SystemTime::now() - ABANDONED - Duration::from_secs(60);
    File::options().write(true).open(&abandoned).unwrap().set_modified(long_ago).unwrap();
    begin(&spool, "publisher/p-9", 9).unwrap();
    assert!(!abandoned.exists());
}

#[test]
fn what_lies_here_leaves_half_the_room_and_publishers_leave_more() {
    use CertificateKind::{Operator, Publisher};

    let (_folder, spool) = made();
    let spool = Spool { reserve: 1000, ..spool };
    // 19 bytes of a publisher lie here, and 9,981 more leave the reserve: a room of 10,000.
    resume(&spool, 0).unwrap().append(BUNDLE).unwrap();
    let look = |kind, wanted| spool.look(kind, wanted, 10_981);
    assert!(look(Publisher, 2481).is_ok() && look(Operator, 4981).is_ok());
    assert!(matches!(look(Publisher, 2482), Err(SpoolError::Share { wanted: 2482, used: 19, share: 2500 })));
    assert!(matches!(look(Operator, 4982), Err(SpoolError::Share { wanted: 4982, used: 19, share: 5000 })));
    // The limit is what uploads are begun by.
    let figures = nix::sys::statvfs::statvfs(&*spool.folder).unwrap();
    let free = figures.blocks_available() * figures.fragment_size();
    let long = spool.resume(&somebody(), &Digest::of(b"long"), 0, free / 8 * 3);
    assert!(matches!(long, Err(SpoolError::Share { .. })), "{long:?}");
}

#[test]
fn a_body_without_a_name_is_gone_when_it_is_done_with_or_the_agent_was_killed() {
    let (folder, spool) = made();
    let mut post = spool.post(&somebody(), u64::MAX).unwrap();
    post.append(BUNDLE).unwrap();
    let path = post.path().to_owned();
    assert_eq!(fs::read(&path).unwrap(), BUNDLE);
    std::mem::forget(post);
    Spool::open(&folder.path().join("push"), 0).unwrap();
    assert!(!path.exists());
    let post = spool.post(&somebody(), u64::MAX).unwrap();
    let path = post.path().to_owned();
    drop(post);
    assert!(!path.exists());
}
