//! What a reply carries.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body as HttpBody, Bytes, Frame, SizeHint};

use super::file::Extract;
use super::follow::Feed;
use super::places::Place;

/// A reply's body.
pub(super) struct Body(Kind);

type Next<T> = Pin<Box<dyn Future<Output = T> + Send>>;

enum Kind {
    /// Bytes at hand.
    Whole(Option<Bytes>),
    /// Bytes of a file, read piece by piece as the peer takes them.
    File { left: u64, next: Next<io::Result<(Extract, Bytes)>>, _place: Place },
    /// Events, as they come.
    Events { next: Next<Option<(Feed, Bytes)>>, _place: Place },
}

impl Body {
    /// Nothing.
    pub(super) fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    /// These bytes.
    pub(super) fn of(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Whole(Some(bytes.into())))
    }

    /// All of it, unless it comes piece by piece.
    pub(super) fn at_hand(&self) -> Option<&[u8]> {
        match &self.0 {
            Kind::Whole(bytes) => Some(bytes.as_deref().unwrap_or_default()),
            Kind::File { .. } | Kind::Events { .. } => None,
        }
    }

    /// A file, or a part of one.
    pub(super) fn file(extract: Extract, place: Place) -> Self {
        if extract.left() == 0 {
            return Self::empty();
        }
        Self(Kind::File { left: extract.left(), next: Box::pin(extract.next()), _place: place })
    }

    /// Events until the follower falls too far behind.
    pub(super) fn events(feed: Feed, place: Place) -> Self {
        Self(Kind::Events { next: Box::pin(feed.next()), _place: place })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::File { left: 0, .. } => Poll::Ready(None),
            Kind::File { left, next, .. } => next.as_mut().poll(context).map(|read| {
                let (extract, bytes) = match read {
                    Ok(read) => read,
                    Err(error) => return Some(Err(error)),
                };
                *left = extract.left();
                if *left > 0 {
                    *next = Box::pin(extract.next());
                }
                Some(Ok(Frame::data(bytes)))
            }),
            Kind::Events { next, .. } => next.as_mut().poll(context).map(|told| {
                let (feed, bytes) = told?;
                *next = Box::pin(feed.next());
                Some(Ok(Frame::data(bytes)))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Whole(None) | Kind::File { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Kind::File { left, .. } => SizeHint::with_exact(*left),
            Kind::Events { .. } => SizeHint::default(),
        }
    }
}
