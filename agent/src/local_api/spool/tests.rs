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

#[test]
fn only_so_many_lie_here_unfinished_and_abandoned_ones_make_room() {
    let (folder, spool) = made();
    let begin = |number: u8| spool.resume(&somebody(), &Digest::of(&[number]), 0, 9).map(drop);
    for number in 0..8 {
        begin(number).unwrap();
    }
    assert!(matches!(begin(8), Err(SpoolError::TooMany)));
    let entry = fs::read_dir(folder.path().join("push")).unwrap().next().unwrap().unwrap();
    let long_ago = SystemTime::now() - ABANDONED - Duration::from_secs(60);
    File::options().write(true).open(entry.path()).unwrap().set_modified(long_ago).unwrap();
    begin(8).unwrap();
    assert!(!entry.path().exists());
}

#[test]
fn a_body_without_a_name_is_gone_when_it_is_done_with_or_the_agent_was_killed() {
    let (folder, spool) = made();
    let mut post = spool.post(u64::MAX).unwrap();
    post.append(BUNDLE).unwrap();
    let path = post.path().to_owned();
    assert_eq!(fs::read(&path).unwrap(), BUNDLE);
    std::mem::forget(post);
    Spool::open(&folder.path().join("push"), 0).unwrap();
    assert!(!path.exists());
    let post = spool.post(u64::MAX).unwrap();
    let path = post.path().to_owned();
    drop(post);
    assert!(!path.exists());
}
