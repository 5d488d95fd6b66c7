//! The only maker of [`Verified`] and the only threshold counter.
