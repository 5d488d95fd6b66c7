//! The floor: the least a program can do with a large file — read it, hash it on a second thread, write it past the page
//! cache, sync it. `floor <from> <to>` prints the SHA-256. An import is measured against this, in the same run.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use ring::digest::{Context, SHA256};

const BUFFER: usize = 1 << 20;
const ALIGNMENT: usize = 4096;

/// A buffer and where its aligned megabyte starts.
struct Aligned(Vec<u8>, usize);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(from), Some(to)) = (arguments.next(), arguments.next()) else {
        return Err("floor <from> <to>".into());
    };
    let mut input = File::open(from)?;
    let length = input.metadata()?.len();
    let output = OpenOptions::new().write(true).create(true).custom_flags(OFlag::O_DIRECT.bits()).open(to)?;
    fallocate(&output, FallocateFlags::empty(), 0, i64::try_from(length.next_multiple_of(ALIGNMENT as u64))?)?;

    let (jobs, queue) = sync_channel::<(Arc<Aligned>, usize)>(4);
    let (release, released) = sync_channel::<()>(4);
    let hashing = std::thread::spawn(move || {
        let mut context = Context::new(&SHA256);
        while let Ok((buffer, length)) = queue.recv() {
            context.update(&buffer.0[buffer.1..buffer.1 + length]);
            drop(buffer);
            let _ = release.send(());
        }
        context.finish()
    });

    let mut free: Vec<Aligned> = (0..4)
        .map(|_| {
            let memory = vec![0; BUFFER + ALIGNMENT];
            let start = memory.as_ptr().align_offset(ALIGNMENT);
            Aligned(memory, start)
        })
        .collect();
    let mut lent = std::collections::VecDeque::new();
    let mut written = 0;
    while written < length {
        let mut buffer = match free.pop() {
            Some(buffer) => buffer,
            None => {
                released.recv()?;
                lent.pop_front().and_then(Arc::into_inner).ok_or("a buffer is lost")?
            }
        };
        let count = usize::try_from(length - written)?.min(BUFFER);
        let start = buffer.1;
        input.read_exact(&mut buffer.0[start..start + count])?;
        let buffer = Arc::new(buffer);
        jobs.send((Arc::clone(&buffer), count))?;
        output.write_all_at(&buffer.0[start..start + count.next_multiple_of(ALIGNMENT)], written)?;
        lent.push_back(buffer);
        written += count as u64;
    }
    output.set_len(length)?;
    output.sync_all()?;
    drop(jobs);
    let digest = hashing.join().map_err(|_| "the hashing thread died")?;
    println!("{}", casemate_protocol::encoding::to_hex(digest.as_ref()));
    Ok(())
}
